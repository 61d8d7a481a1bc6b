"""The CAS: immutable files named by the sha256 of their content.

Writing (the order is what makes a record trustworthy after a power cut): temporary file in the same filesystem, fsync,
digest of what is there, mode 0444, link into place, fsync of the directory; only then may a record name it.
Reading: small objects are verified every time, big ones once per boot, and after that by inode, size and mtime.
"""

import hashlib
import os
import uuid
from pathlib import Path

from banger.host.clock import boot_id
from banger.model.digest import Digest, digest_of_bytes
from banger.model.errors import StoreError
from banger.store.database import Database

SMALL_BYTES = 1024 * 1024
_CHUNK_BYTES = 1024 * 1024


class Cas:
    """Objects below `root`, and the table of stamps that says when each was last verified."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root = root
        self._database = database
        self._incoming = root / "incoming"
        self._bad = root / "bad"
        for directory in (root / "sha256", self._incoming, self._bad):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put_bytes(self, data: bytes) -> Digest:
        """Store content; storing the same again does nothing."""
        digest = digest_of_bytes(data)
        if self.has(digest):
            return digest
        temporary = self._incoming / uuid.uuid4().hex
        temporary.write_bytes(data)
        return self.adopt(temporary)

    def adopt(self, file: Path) -> Digest:
        """Make a finished file, which lies in the same filesystem, an object. The file's own name goes.

        Raises StoreError if it is not a regular file.
        """
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            digest = _digest_of_fd(fd)
            os.fchmod(fd, 0o444)
            self._link(file, self._place(digest))
            self._stamp(digest, os.fstat(fd))
        finally:
            os.close(fd)
        file.unlink()
        return digest

    def has(self, digest: Digest) -> bool:
        """Whether the object is there (not whether it is sound)."""
        return self._place(digest).is_file()

    def path(self, digest: Digest) -> Path:
        """Path of a verified object, to be read only. Raises StoreError if it is missing or was damaged."""
        place = self._place(digest)
        try:
            fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{digest} is not in the cache") from error
        try:
            status = os.fstat(fd)
            if not self._stamped(digest, status):
                if _digest_of_fd(fd) != digest:
                    self.quarantine(digest)
                    raise StoreError(f"{digest} was damaged on disk; it has been put aside in {self._bad}")
                self._stamp(digest, status)
        finally:
            os.close(fd)
        return place

    def read(self, digest: Digest) -> bytes:
        """Content of a small object, verified. Raises StoreError."""
        data = self.path(digest).read_bytes()
        if digest_of_bytes(data) != digest:
            self.quarantine(digest)
            raise StoreError(f"{digest} was damaged on disk; it has been put aside in {self._bad}")
        return data

    def size(self, digest: Digest) -> int:
        """Size in bytes. Raises StoreError if the object is missing."""
        try:
            return self._place(digest).stat().st_size
        except FileNotFoundError as error:
            raise StoreError(f"{digest} is not in the cache") from error

    def disk_bytes(self, digest: Digest) -> int:
        """What the object takes on the disk, without its holes; 0 if it is missing."""
        try:
            return self._place(digest).stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def quarantine(self, digest: Digest) -> None:
        """Put a damaged object aside: evidence is kept, and the name is free to be made again."""
        place = self._place(digest)
        if place.exists():
            place.rename(self._bad / f"{place.name}.{uuid.uuid4().hex[:8]}")
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM blobs WHERE digest = ?", (digest,))

    def remove(self, digest: Digest) -> None:
        """Delete an object; absent is fine."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
        self._place(digest).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed process left half-written. Only when this process alone owns the state directory."""
        for path in self._incoming.iterdir():
            path.unlink()

    def all(self) -> list[Digest]:
        """Every object, sorted."""
        return sorted(Digest(f"sha256:{path.name}") for path in self.root.glob("sha256/??/*"))

    def _place(self, digest: Digest) -> Path:
        name = digest.removeprefix("sha256:")
        return self.root / "sha256" / name[:2] / name

    def _link(self, file: Path, place: Path) -> None:
        if not place.parent.is_dir():
            place.parent.mkdir(mode=0o700, exist_ok=True)
            _sync_directory(place.parent.parent)
        try:
            os.link(file, place)
        except FileExistsError:
            return  # the same content by its name; `path` verifies it before it is used
        _sync_directory(place.parent)

    def _stamped(self, digest: Digest, status: os.stat_result) -> bool:
        row = self._database.row("SELECT size, stamp FROM blobs WHERE digest = ?", digest)
        return row is not None and row["size"] == status.st_size and row["stamp"] == _stamp_of(status)

    def _stamp(self, digest: Digest, status: os.stat_result) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO blobs (digest, size, stamp) VALUES (?, ?, ?)",
                (digest, status.st_size, _stamp_of(status)),
            )


def _stamp_of(status: os.stat_result) -> str:
    return f"{status.st_ino}:{status.st_mtime_ns}:{boot_id()}"


def _digest_of_fd(fd: int) -> Digest:
    hasher = hashlib.sha256()
    os.lseek(fd, 0, os.SEEK_SET)
    while chunk := os.read(fd, _CHUNK_BYTES):
        hasher.update(chunk)
    return Digest("sha256:" + hasher.hexdigest())


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
