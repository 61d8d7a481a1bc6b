"""Run a program on one file that a guest has written: it can change that file, and reach nothing else of the host."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio

from banger.host.elf import LIBRARIES, LOADER_CACHE, loader_of
from banger.host.landlock import Limits, confinement
from banger.host.process import Finished
from banger.model.errors import DeadlineError, HostError

_PROC = Path("/proc")
"""Where e2fsprogs look whether a file is mounted. What another process keeps to itself, Landlock keeps from them."""


async def run_confined(
    program: Path, words: Sequence[str], file: Path, *, file_bytes: int, deadline_s: float
) -> Finished:
    """Run `program`, with `words` and then `file`. Raises HostError if it cannot be confined, DeadlineError."""
    argv = [str(program), *words, str(file)]
    limits = Limits(cpu_s=int(deadline_s) + 1, file_bytes=file_bytes)
    executables = (program, *loader_of(program))
    with (
        tempfile.TemporaryFile() as said,
        confinement(limits=limits, read=[*LIBRARIES, LOADER_CACHE, _PROC], execute=executables, write=[file]) as enter,
    ):
        try:
            # Started by the event loop's own thread: the child dies with the thread that started it.
            process = subprocess.Popen(  # noqa: ASYNC220 - it is waited for below, by descriptor
                argv,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={"PATH": os.defpath, "LC_ALL": "C", "HOME": "/nonexistent"},
                cwd="/",
                start_new_session=True,
                preexec_fn=enter,  # noqa: PLW1509 - banger.host.landlock says why it is safe
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise HostError(f"{program}: cannot be run confined: {error}", hint="banger doctor") from error
        try:
            status = await wait_or_kill(process, deadline_s)
        except TimeoutError as error:
            raise DeadlineError(f"{program}: not finished after {deadline_s:g} s") from error
        said.seek(0)
        return Finished(tuple(argv), status, b"", said.read())


async def wait_or_kill(process: subprocess.Popen[bytes], deadline_s: float) -> int:
    """Wait for a leader of a group to end, and return its exit status. Raises TimeoutError after `deadline_s`.

    When we leave, it has ended and is reaped, whatever happened.
    """
    descriptor = os.pidfd_open(process.pid)
    try:
        with anyio.fail_after(deadline_s):
            await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode
