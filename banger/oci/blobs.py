"""Blobs as files: named by their sha256 only after every byte of them has been hashed.

    DIR/sha256/HEX      whole and verified when it got the name; read-only
    DIR/partial/HEX     the beginning of one, kept after a cut: the next fetch hashes it again and goes on from its end
    DIR/bad/HEX.N       what once had the name and was found damaged

One process at a time writes a partial file: it holds a lock on it.
"""

import errno
import fcntl
import hashlib
import os
import queue
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from banger.model.digest import Digest, parse_digest
from banger.model.errors import HostError
from banger.oci.errors import ContentError

CHUNK_BYTES = 1024 * 1024
_QUEUE_CHUNKS = 4
_LOCK_POLL_S = 0.1
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
Wait = Callable[[float], None]
Count = Callable[[int], None]


class BlobDir:
    """A directory of blobs. Nothing of banger's OCI library writes anywhere else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("sha256", "partial", "bad"):
            (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: Digest) -> Path:
        """Where a blob is when it is there. The form of the digest is checked: it is a stranger's text."""
        return self.root / "sha256" / parse_digest(digest).removeprefix("sha256:")

    def partial_path(self, digest: Digest) -> Path:
        """Where the beginning of a blob is."""
        return self.root / "partial" / parse_digest(digest).removeprefix("sha256:")

    def find(self, digest: Digest, size: int) -> Path | None:
        """The file of a blob, read and hashed now, or None. A damaged one is put aside."""
        path = self.path(digest)
        try:
            fd = os.open(path, _READ_FLAGS)
        except FileNotFoundError:
            return None
        except OSError:
            fd = -1
        try:
            if fd >= 0 and _is_sound(fd, digest, size):
                return path
        finally:
            if fd >= 0:
                os.close(fd)
        self._put_aside(path)
        return None

    def write(self, digest: Digest, size: int, wait: Wait) -> "Partial":
        """Begin or continue a blob; `wait` sleeps while somebody else writes it. Raises HostError."""
        return Partial(self, digest, size, wait)

    def _put_aside(self, path: Path) -> None:
        for number in range(1000):
            aside = self.root / "bad" / f"{path.name}.{number}"
            if not os.path.lexists(aside):
                path.rename(aside)
                return
        raise HostError(f"{self.root / 'bad'} is full of damaged blobs", hint="look at the disk's health")


class Partial:
    """A blob being written. `offset` bytes are there and hashed. Leaving the block keeps them for another time.

    `tag` is the entity tag under which the last of them came, for whoever asks for the rest.
    """

    def __init__(self, blobs: BlobDir, digest: Digest, size: int, wait: Wait) -> None:
        self._blobs = blobs
        self.digest = digest
        self.size = size
        self._path = blobs.partial_path(digest)
        self._fd = _open_locked(self._path, wait)
        self.offset = 0
        self.tag = ""
        self._hasher = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def resume(self, check: Callable[[], None]) -> int:
        """Hash what an earlier fetch left, and return how much that is. `check` may raise to stop."""
        if os.fstat(self._fd).st_size > self.size:
            self.restart()
            return 0
        while chunk := os.pread(self._fd, CHUNK_BYTES, self.offset):
            check()
            self._hasher.update(chunk)
            self.offset += len(chunk)
        return self.offset

    def restart(self) -> None:
        """Forget what is there."""
        os.ftruncate(self._fd, 0)
        self.offset, self.tag = 0, ""
        self._hasher = hashlib.sha256()

    def pour(self, read: Callable[[int], bytes], count: Count) -> None:
        """Append what `read` gives until it gives nothing; hashing and writing have a thread of their own.

        `count` is called with the bytes that there are after each chunk. What was written before an error counts in
        `offset`. Raises ContentError for more bytes than the blob has, HostError when the disk refuses, and what
        `read` raises, which is no OSError.
        """
        writer = _Writer(self._fd, self._hasher, self.offset)
        there = self.offset
        try:
            while chunk := read(min(CHUNK_BYTES, self.size - there + 1)):
                there += len(chunk)
                if there > self.size:
                    raise ContentError(f"{self.digest}: more than {self.size} bytes were sent")
                writer.put(chunk)
                count(there)
        except OSError as error:
            raise _disk_error(self._path, error) from None
        finally:
            self.offset = writer.finish()
        if writer.failure is not None:
            raise _disk_error(self._path, writer.failure)

    def commit(self) -> Path:
        """Give the file its name. Raises ContentError, and forgets the bytes, if they are not the blob."""
        found = f"sha256:{self._hasher.hexdigest()}"
        if self.offset != self.size or found != self.digest:
            reason = f"{self.offset} bytes, not {self.size}" if self.offset != self.size else f"the digest {found}"
            self.restart()
            raise ContentError(f"{self.digest}: what was sent has {reason}")
        dest = self._blobs.path(self.digest)
        try:
            os.fchmod(self._fd, 0o444)
            # No fsync: after a power cut `find` sees what is missing. Who keeps the blob for good, syncs it (the CAS).
            self._path.rename(dest)
        except OSError as error:
            raise _disk_error(self._path, error) from None
        return dest

    def need_space(self) -> None:
        """Raise HostError if the disk has no room for the rest: better now than after an hour."""
        status = os.fstatvfs(self._fd)
        free, needed = status.f_bavail * status.f_frsize, self.size - self.offset
        if needed > free:
            raise HostError(
                f"{self._blobs.root}: {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free",
                hint="banger cache prune",
            )


class _Writer:
    """The second thread: hashes and writes what the first one reads. An error stops the writing, never the reading."""

    def __init__(self, fd: int, hasher: "hashlib._Hash", offset: int) -> None:
        self._fd, self._hasher, self._offset = fd, hasher, offset
        self._chunks: queue.Queue[bytes] = queue.Queue(_QUEUE_CHUNKS)
        self.failure: OSError | None = None
        self._thread = threading.Thread(target=self._work, name="oci-write", daemon=True)
        self._thread.start()

    def put(self, chunk: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self._chunks.put(chunk)

    def finish(self) -> int:
        """End the thread and return how many bytes of the file are written and hashed."""
        self._chunks.put(b"")
        self._thread.join()
        return self._offset

    def _work(self) -> None:
        while chunk := self._chunks.get():
            if self.failure is None:
                try:
                    self._write(chunk)
                except OSError as error:
                    self.failure = error

    def _write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            # Hashed is exactly what was written, also when the disk fills up in the middle of a chunk.
            count = os.pwrite(self._fd, view, self._offset)
            self._hasher.update(view[:count])
            self._offset += count
            view = view[count:]


def _open_locked(path: Path, wait: Wait) -> int:
    """Open a partial file and hold its lock. Whoever had it before may have renamed it: then there is a new one."""
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise _disk_error(path, error) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine, there = os.fstat(fd), path.lstat()
            _check_ours(path, mine)
            if os.path.samestat(mine, there):
                return fd
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        wait(_LOCK_POLL_S)


def _check_ours(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise HostError(f"{path}: is not a file of banger's", hint=f"rm {path}")


def _is_sound(fd: int, digest: Digest, size: int) -> bool:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        return False
    hasher = hashlib.sha256()
    while chunk := os.read(fd, CHUNK_BYTES):
        hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}" == digest


def _disk_error(path: Path, error: OSError) -> HostError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return HostError(f"{path}: {error.strerror}", hint="banger cache prune" if full else None)
