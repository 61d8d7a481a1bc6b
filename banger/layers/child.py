"""Write an image in a confined process: it can read the blobs, write the image, and nothing else of the host.

The parent opens the files; the child gets descriptors, no network, and of the file system only Python's own files to
read. Its memory goes back to the host at the end, and it can be killed at any time.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import anyio

import banger
from banger.ext4.options import MAX_IMAGE_BYTES
from banger.ext4.output import new_image
from banger.host.elf import LIBRARIES, LOADER_CACHE, loader_of
from banger.host.landlock import Limits as ProcessLimits
from banger.host.landlock import confinement
from banger.layers.options import Flattened, Layer, Request
from banger.layers.wire import Answer, Order, WireLayer, decode_answer, encode_order, error_of
from banger.model.errors import DeadlineError, HostError, NotFoundError

_MEMORY_BYTES = 2 << 30
_READ_BYTES = 64 << 10
_ANSWER_LIMIT_BYTES = 1 << 20
_ERROR_TAIL_BYTES = 2000
_ENVIRONMENT = {
    # glibc would give every unpacked piece back to the kernel and ask for it again: a third of the time in the kernel.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TOP_PAD_": "16777216",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "PYTHONHASHSEED": "0",
}


async def flatten(
    layers: Sequence[Layer],
    dest: Path,
    request: Request,
    *,
    deadline_s: float,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Flattened:
    """Write the layers, the lowest first, as an ext4 image; equal layers and requests give equal bytes.

    `dest`, and the seed's path if one is asked for, appear, durable, when both are whole, and not at all on failure or
    cancellation. `progress` is called with the bytes of blobs read so far and all of them. Raises SpecError that names
    the layer and the entry for what is wrong with them, NotFoundError for a blob or a seed directory that is not there,
    DeadlineError after `deadline_s` seconds, HostError if the host refuses or cannot confine the process.
    """
    with contextlib.ExitStack() as stack:
        blobs = [_opened(stack, layer.path) for layer in layers]
        image = stack.enter_context(new_image(dest))
        seed = stack.enter_context(new_image(request.seed.path)) if request.seed is not None else None
        wired = tuple(
            WireLayer(blob, layer.compression, layer.diff_id, layer.digest)
            for blob, layer in zip(blobs, layers, strict=True)
        )
        order = encode_order(Order(wired, image, seed, request))
        total = sum(os.fstat(blob).st_size for blob in blobs)
        kept = [*blobs, image] if seed is None else [*blobs, image, seed]
        return await _Child(stack, order, kept, deadline_s).answer(lambda done: progress(done, total))


class _Child:
    """The process, from its start to its end."""

    def __init__(self, stack: contextlib.ExitStack, order: bytes, kept: list[int], deadline_s: float) -> None:
        self._stack = stack
        self._order = order
        self._kept = kept
        self._deadline_s = deadline_s

    async def answer(self, progress: Callable[[int], None]) -> Flattened:
        """Run it. When this returns or raises, the process has ended."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        self._stack.callback(os.close, read_end)
        errors = os.memfd_create("flatten-stderr")
        self._stack.callback(os.close, errors)
        try:
            process = self._start(write_end, errors)
        finally:
            os.close(write_end)
        answer = Answer()
        try:
            with anyio.fail_after(self._deadline_s):
                async for line in _lines(read_end):
                    answer = decode_answer(line)
                    if answer.done_bytes is not None:
                        progress(answer.done_bytes)
                await _ended(process)
        except TimeoutError as error:
            raise DeadlineError(f"the image writer did not finish within {self._deadline_s:g} s") from error
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if answer.error is not None:
            raise error_of(answer.error)
        if process.returncode != 0 or answer.flattened is None:
            raise HostError(f"the image writer ended with status {process.returncode}:\n{_tail(errors)}")
        return answer.flattened

    def _start(self, out: int, errors: int) -> subprocess.Popen[bytes]:
        python = Path(sys.executable).resolve()
        limits = ProcessLimits(
            cpu_s=int(self._deadline_s * (os.cpu_count() or 1)) + 1,
            file_bytes=2 * MAX_IMAGE_BYTES,
            memory_bytes=_MEMORY_BYTES,
            descriptors=len(self._kept) + 64,
        )
        own = [Path(sys.prefix), Path(sys.base_prefix), Path(banger.__file__).parents[1]]
        request = os.memfd_create("flatten-request")
        self._stack.callback(os.close, request)
        os.pwrite(request, self._order, 0)
        enter = self._stack.enter_context(
            confinement(
                limits=limits,
                read=[*own, *LIBRARIES, LOADER_CACHE],
                execute=[python, *loader_of(python)],
            )
        )
        try:
            # Started by the event loop's own thread: the child dies with the thread that started it.
            return subprocess.Popen(
                [sys.executable, "-I", "-m", "banger.layers"],
                stdin=request,
                stdout=out,
                stderr=errors,
                env=_ENVIRONMENT,
                pass_fds=self._kept,
                start_new_session=True,
                preexec_fn=enter,  # noqa: PLW1509 - banger.host.landlock says why it is safe
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise HostError(f"{python}: cannot be run confined: {error}", hint="banger doctor") from error


def _opened(stack: contextlib.ExitStack, path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such blob") from error
    except OSError as error:
        raise HostError(f"{path}: cannot be read: {error.strerror}") from error
    stack.callback(os.close, descriptor)
    return descriptor


async def _lines(descriptor: int) -> AsyncIterator[bytes]:
    buffered = b""
    while True:
        await anyio.wait_readable(descriptor)
        data = os.read(descriptor, _READ_BYTES)
        if not data:
            return
        *lines, buffered = (buffered + data).split(b"\n")
        if len(buffered) > _ANSWER_LIMIT_BYTES:
            raise HostError("the image writer: its answer has no end")
        for line in lines:
            yield line


async def _ended(process: subprocess.Popen[bytes]) -> None:
    descriptor = os.pidfd_open(process.pid)
    try:
        await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    start = max(0, size - _ERROR_TAIL_BYTES)
    return os.pread(descriptor, _ERROR_TAIL_BYTES, start).decode(errors="replace").strip()
