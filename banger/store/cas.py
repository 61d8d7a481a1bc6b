"""The CAS: immutable files named by the sha256 of their content.

Writing (the order is what makes a record trustworthy after a power cut): temporary file in the same filesystem,
fdatasync, size and digest of what is read back, mode 0444, link into place, fsync of the directory; only then may a
record name it. Reading: small objects are verified every time, big ones once per boot and then by stamp. What is
damaged is put aside, never deleted. docs/store.md has the reasons.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from banger.model.digest import Digest, digest_of_bytes
from banger.model.errors import BangerError, DamagedError, MissingError, StoreError
from banger.store.database import Database
from banger.store.files import Files, Reached, refusals, unwatched
from banger.store.objects import MODE, SMALL_BYTES, digest_of_fd, open_object, place_of, verify_object
from banger.store.scratch import remove_tree
from banger.store.stamps import Stamps
from banger.store.uses import Uses


class Cas:
    """Objects below `root`. The one owner of that directory."""

    def __init__(self, root: Path, database: Database, reached: Reached = unwatched) -> None:
        self.root = root
        self.stamps = Stamps(database)
        self.uses = Uses()
        self.bad = root / "bad"
        """Damaged objects and foreign files, as they were found."""
        self._files = Files(reached)
        self._incoming = root / "incoming"
        self._trash = root / "trash"
        with refusals(f"open {root}"):
            for directory in (root, root / "sha256", self._incoming, self.bad, self._trash):
                if not directory.is_dir():
                    self._files.make_directory(directory)

    def put_bytes(self, data: bytes) -> Digest:
        """Store content; storing the same again does nothing. Raises NoSpaceError, HostError."""
        digest = digest_of_bytes(data)
        if not self._is_settled(digest):
            with refusals(f"store {len(data)} bytes"), self._new() as (fd, file):
                self._files.write(fd, data)
                self._publish(fd, file, expected=digest)
        return digest

    def adopt(self, file: Path, *, expected: Digest | None = None) -> Digest:
        """Make a finished file an object, without a copy if it lies in the same file system. The file's own name goes.

        Raises StoreError if it is not a regular file or not what was `expected`, NoSpaceError, HostError.
        """
        with refusals(f"store {file}"):
            fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise StoreError(f"{file} is not a file")
                # A second name, or another file system: whoever has it could go on writing.
                if status.st_nlink != 1 or status.st_dev != self._incoming.stat().st_dev:
                    digest = self._copy_in(fd, expected)
                    self._files.unlink(file)
                    return digest
                return self._publish(fd, file, expected=expected)
            finally:
                os.close(fd)

    def has(self, digest: Digest) -> bool:
        """Whether the object is there and, as far as can be told without reading a big one, sound.

        A damaged one is put aside. A big one that was not verified in this boot is taken on trust: `path` reads it.
        """
        try:
            os.close(self._open(digest, trusting=True))
        except BangerError:  # also what the host refuses: no descriptor left, say. A miss is always right
            return False
        return True

    def is_there(self, digest: Digest) -> bool:
        """Whether something lies in the object's place. A look that is no use: a collection may still take it."""
        return os.path.lexists(self.place(digest))

    def is_verified(self, digest: Digest) -> bool:
        """Whether `path` will be quick."""
        try:
            status = os.lstat(self.place(digest))
        except OSError:
            return True
        return status.st_size <= SMALL_BYTES or self.stamps.holds(digest, status)

    def path(self, digest: Digest) -> Path:
        """Path of a verified object, to be read only. Raises MissingError, or DamagedError after putting it aside."""
        os.close(self._open(digest))
        return self.place(digest)

    def read(self, digest: Digest) -> bytes:
        """Content of an object, verified. Raises MissingError, or DamagedError after putting it aside."""
        with os.fdopen(self._open(digest), "rb") as file:
            data = file.read()
        if digest_of_bytes(data) != digest:
            raise self._damaged(DamagedError(f"{digest}: changed while it was read"), digest)
        return data

    def let_write(self, digest: Digest) -> None:
        """Let its owner open an object for writing, for a program that does so and writes nothing (QEMU, to memory).

        Raises as `path`; what is written all the same is found out as any damage is.
        """
        fd = self._open(digest)
        try:
            os.fchmod(fd, 0o600)
            self._restamp(digest, os.fstat(fd))  # a change of the mode changes the ctime
        finally:
            os.close(fd)

    def materialize(self, digest: Digest, dest: Path, *, writable: bool) -> None:
        """Make a verified object appear at `dest`, which must not exist; it is not synced.

        A reflink where the file system can; else, for reading only, a second name of the object; else a copy that
        keeps the holes. Raises MissingError, DamagedError, NoSpaceError, HostError; then there is no `dest`.
        """
        from banger.host.sparse import copy_sparse, reflink

        source = self._open(digest)
        try:
            with refusals(f"make {dest} of {digest}"), new_file(dest) as target:
                shared = reflink(source, target)
                if not shared and not writable and self._link_out(digest, source, dest):
                    return
                if not shared:
                    copy_sparse(source, target)
                os.fchmod(target, 0o600 if writable else MODE)
        finally:
            os.close(source)

    def size(self, digest: Digest) -> int:
        """Size in bytes. Raises MissingError."""
        return self.status(digest).st_size

    def status(self, digest: Digest) -> os.stat_result:
        """What lstat(2) says of it: st_blocks is what it takes on the device. Raises MissingError."""
        try:
            return os.lstat(self.place(digest))
        except OSError as error:
            raise MissingError(f"{digest} is not in the cache") from error

    def disk_bytes(self, digest: Digest) -> int:
        """What the object takes on the disk, without its holes; 0 if it is missing."""
        try:
            return self.place(digest).stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def quarantine(self, digest: Digest) -> None:
        """Put a damaged object aside: evidence is kept, and the name is free to be made again."""
        self.put_aside(self.place(digest))
        self.stamps.drop(digest)

    def put_aside(self, path: Path) -> None:
        """Move whatever lies at a path below `root` to `bad`; absent is fine."""
        with refusals(f"put {path} aside"):
            if os.path.lexists(path):
                with suppress(FileNotFoundError):  # another process has found it, too
                    self._files.rename(path, self.bad / f"{path.name}.{os.urandom(4).hex()}")

    def set_aside(self, digest: Digest) -> Path | None:
        """First half of a removal, which takes no time: rename. Returns what the second half has to unlink.

        The caller holds `uses.turn`, has asked whether the object is in use, and has dropped its rows.
        """
        with refusals(f"remove {digest}"):
            if not os.path.lexists(self.place(digest)):
                return None
            aside = self._trash / os.urandom(16).hex()
            self._files.rename(self.place(digest), aside)
            return aside

    def discard(self, aside: Path) -> None:
        """Second half of a removal."""
        with refusals(f"remove {aside}"):
            remove_tree(aside, below=self._trash)

    def remove(self, digest: Digest) -> None:
        """Delete an object, whoever uses it; absent is fine."""
        self.stamps.drop(digest)
        with refusals(f"remove {digest}"):
            self._files.unlink(self.place(digest))

    def sweep(self) -> None:
        """Remove what a killed process left half-written. Only when this process alone owns the state directory."""
        for directory in (self._incoming, self._trash):
            for path in directory.iterdir():
                self._files.reached("sweep")
                remove_tree(path, below=directory)

    def all(self) -> list[Digest]:
        """Every object, by name alone, sorted."""
        return sorted(Digest(f"sha256:{path.name}") for path in self.root.glob("sha256/??/*"))

    def place(self, digest: Digest) -> Path:
        """Where the object lies, or would."""
        return place_of(self.root, digest)

    @contextmanager
    def _new(self) -> Iterator[tuple[int, Path]]:
        """A temporary file, gone at the end of the block unless it has been published."""
        file = self._incoming / os.urandom(16).hex()
        self._files.reached("create")
        with new_file(file) as fd:
            yield fd, file

    def _copy_in(self, source: int, expected: Digest | None) -> Digest:
        from banger.host.sparse import copy_sparse

        with self._new() as (fd, file):
            copy_sparse(source, fd)
            return self._publish(fd, file, expected=expected)

    def _publish(self, fd: int, file: Path, *, expected: Digest | None) -> Digest:
        """The write protocol from the sync on. Whatever fails, the file goes: a failed sync must not be tried again."""
        try:
            self._files.sync(fd)
            self._files.reached("read-back")
            digest = _read_back(fd, expected)
            self._files.seal(fd)
            self.uses.touch(digest)
            place = self.place(digest)
            if not place.parent.is_dir():
                self._files.make_directory(place.parent)
            if not self._files.link(file, place):
                self._take_over(digest, file)
            self._files.unlink(file)
            self._files.sync_directory(place.parent)
            self.stamps.set(digest, place.lstat())
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return digest

    def _take_over(self, digest: Digest, file: Path) -> None:
        """The name is taken: by the same content, which a crash may have kept from being durable, or by damage."""
        try:
            present = self._open(digest)
        except StoreError:  # damage, which is put aside by now
            if not self._files.link(file, self.place(digest)):
                raise
            return
        try:
            self._files.sync(present)
        finally:
            os.close(present)

    def _is_settled(self, digest: Digest) -> bool:
        return self.has(digest) and self.stamps.size(digest) is not None

    def _open(self, digest: Digest, *, trusting: bool = False) -> int:
        """A descriptor of a sound object. Raises MissingError, or DamagedError after putting it aside."""
        self.uses.touch(digest)
        try:
            fd = open_object(self.place(digest), digest)
        except DamagedError as error:
            raise self._damaged(error, digest) from error
        try:
            self._verify(fd, digest, trusting=trusting)
        except DamagedError as error:
            os.close(fd)
            raise self._damaged(error, digest) from error
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _verify(self, fd: int, digest: Digest, *, trusting: bool) -> None:
        status = os.fstat(fd)
        if status.st_size <= SMALL_BYTES:
            verify_object(fd, digest)
        elif not self.stamps.holds(digest, status):
            expected = self.stamps.size(digest)
            if expected is not None and status.st_size != expected:
                raise DamagedError(f"{digest}: has {status.st_size} bytes, not {expected}")
            if not trusting:
                verify_object(fd, digest)
                self._restamp(digest, status)

    def _restamp(self, digest: Digest, status: os.stat_result) -> None:
        if self.stamps.size(digest) is not None:  # what is not known to be durable gets no stamp by being read
            self.stamps.set(digest, status)

    def _damaged(self, error: DamagedError, digest: Digest) -> DamagedError:
        self.quarantine(digest)
        return DamagedError(
            f"{error.message}; it was damaged on disk and has been put aside in {self.bad}",
            hint="try again: it is made anew; banger cache verify looks at the others",
        )

    def _link_out(self, digest: Digest, source: int, dest: Path) -> bool:
        """Give the object a second name, for who only reads: its mode is 0444, and a change would show in its stamp."""
        second = dest.with_name(f".{dest.name}.{os.urandom(4).hex()}")
        try:
            os.link(self.place(digest), second, follow_symlinks=False)
        except OSError:  # another file system, too many links
            return False
        second.rename(dest)
        self._restamp(digest, os.fstat(source))  # a link changes the ctime
        return True


def _read_back(fd: int, expected: Digest | None) -> Digest:
    digest, size = digest_of_fd(fd)
    if expected not in {None, digest} or size != os.fstat(fd).st_size:
        raise StoreError(f"{size} bytes were written that hash to {digest}, not to {expected}")
    return digest


@contextmanager
def new_file(dest: Path) -> Iterator[int]:
    """Make a file, which is gone again if the block fails."""
    fd = os.open(dest, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    except BaseException:
        dest.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
