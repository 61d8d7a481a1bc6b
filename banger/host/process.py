"""Run host programs: argv lists only, a deadline always, output bounded, and no child that outlives its parent."""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.abc
from anyio.abc import ByteReceiveStream

from banger.model.errors import DeadlineError, HostError

OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024
ERROR_TAIL_BYTES = 2000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended: its exit status (negative: minus the signal) and what it printed."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes

    def check(self, what: str) -> "Finished":
        """Return self if the status is 0; else raise HostError that names `what` and shows the end of stderr."""
        if self.status != 0:
            tail = self.stderr[-ERROR_TAIL_BYTES:].decode(errors="replace").strip()
            ending = f"exit status {self.status}" if self.status >= 0 else f"signal {-self.status}"
            raise HostError(f"{what}: {self.argv[0]} ended with {ending}" + (f":\n{tail}" if tail else ""))
        return self


def die_with_parent() -> None:
    """For `preexec_fn`: have the kernel kill this child when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


async def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    deadline_s: float,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output_limit_bytes: int = OUTPUT_LIMIT_BYTES,
) -> Finished:
    """Run a program to its end and return what it printed.

    The child gets its own session, so that a terminal's Ctrl-C does not reach it; on cancellation, deadline or too much
    output its whole process group is killed and waited for. Raises HostError if the program is missing or prints more
    than `output_limit_bytes`, DeadlineError after `deadline_s` seconds.
    """
    words = tuple(os.fspath(word) for word in argv)
    try:
        process = await anyio.open_process(
            words,
            stdin=subprocess.PIPE,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise HostError(f"{words[0]}: not found on this machine", hint="banger doctor") from error
    out: list[bytes] = []
    err: list[bytes] = []
    try:
        with anyio.fail_after(deadline_s):
            async with anyio.create_task_group() as group:
                assert process.stdin
                assert process.stdout
                assert process.stderr
                group.start_soon(_collect, process.stdout, out, output_limit_bytes, words[0])
                group.start_soon(_collect, process.stderr, err, output_limit_bytes, words[0])
                # A program that does not want all of its input says by its exit status whether that is an error.
                with contextlib.suppress(anyio.BrokenResourceError, BrokenPipeError, ConnectionResetError):
                    await process.stdin.send(stdin)
                await process.stdin.aclose()
            status = await process.wait()
    except TimeoutError as error:
        raise DeadlineError(f"{words[0]}: not finished after {deadline_s:g} s") from error
    except BaseExceptionGroup as group_error:
        for inner in group_error.exceptions:
            if isinstance(inner, HostError):
                raise inner from None
        raise
    finally:
        await _reap(process)
    return Finished(words, status, b"".join(out), b"".join(err))


async def _collect(stream: ByteReceiveStream, into: list[bytes], limit_bytes: int, name: str) -> None:
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > limit_bytes:
            raise HostError(f"{name}: printed more than {limit_bytes} bytes")
        into.append(chunk)


async def _reap(process: anyio.abc.Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await process.aclose()
