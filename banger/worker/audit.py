"""One line for each request, whether it was done or not. Written before the answer; what changed the host is synced."""

import os
from collections.abc import Callable

import msgspec

_NAME, _OLDER = "audit", "audit.1"
_LARGEST = 16 * 1024 * 1024


class Line(msgspec.Struct, frozen=True):
    """`at`: seconds since 1970; `ms`: what it took. `result`: "ok", or why not."""

    at: float
    uid: int
    pid: int
    op: str
    vm: str
    result: str
    ms: float


class Audit:
    """An append-only file; when it is full it becomes the older one, and the one before that goes."""

    def __init__(self, directory: int, wall: Callable[[], float]) -> None:
        self._directory = directory
        self._wall = wall
        self._open()

    def write(self, line: Line, *, durable: bool) -> None:
        """Add a line. JSON has no bare newline or control character, whatever is in the strings."""
        data = msgspec.json.encode(line) + b"\n"
        if self._size + len(data) > _LARGEST:
            os.close(self._file)
            os.rename(_NAME, _OLDER, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self._open()
        self._size += os.write(self._file, data)
        if durable:
            os.fdatasync(self._file)

    def now(self) -> float:
        """Seconds since 1970."""
        return self._wall()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(_NAME, flags, 0o600, dir_fd=self._directory)
        self._size = os.fstat(self._file).st_size
