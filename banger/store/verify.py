"""`banger cache verify`: read everything, believe no stamp, stop at nothing, and put right what can be.

Each thing is looked at by itself, so that what is wrong with one hides nothing about another. What is damaged or
foreign is put aside and never deleted; a record that stands on what is not there is dropped, and its action becomes a
miss. Running it again finds nothing that it has repaired.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from banger.model.cache import ProblemKind, ProblemView
from banger.model.digest import Digest
from banger.model.errors import BangerError, DamagedError, MissingError
from banger.store.actions import Record
from banger.store.objects import MODE, open_object, verify_object
from banger.store.roots import vm_roots
from banger.store.state import State

_SHARD = re.compile(r"[0-9a-f]{2}\Z")
_NAME = re.compile(r"[0-9a-f]{64}\Z")
_OURS = {"sha256", "incoming", "bad", "trash"}


@dataclass(slots=True)
class Verification:
    """One walk through a state directory. `told` takes objects and bytes read so far, and may raise to end the walk."""

    state: State
    repair: bool
    told: Callable[[int, int], None] = lambda _objects, _bytes: None
    problems: list[ProblemView] = field(default_factory=list)
    objects: int = 0
    bytes_read: int = 0
    records: int = 0

    def run(self) -> None:
        """Look at everything. Raises only what `told` raises."""
        self._database()
        self._foreign_at_the_top()
        for shard in self._entries(self.state.cas.root / "sha256"):
            self._shard(shard)
        self._records()
        self._vanished()
        self._leases()

    def _found(self, kind: ProblemKind, subject: str, detail: str, mend: Callable[[], object] | None = None) -> None:
        """Note a problem, and mend it if that is asked for and can be done."""
        repaired = False
        if self.repair and mend is not None:
            try:
                mend()
                repaired = True
            except (BangerError, OSError) as error:
                detail = f"{detail}; not repaired: {error}"
        self.problems.append(ProblemView(kind, subject, detail, repaired))

    def _database(self) -> None:
        try:
            found = self.state.database.problems()
        except BangerError as error:
            found = [error.message]
        for line in found:
            self._found("database", self.state.database.path.name, line)

    def _foreign_at_the_top(self) -> None:
        for path in self._entries(self.state.cas.root):
            if path.name not in _OURS:
                self._foreign(path, "not a part of the cache")

    def _foreign(self, path: Path, why: str) -> None:
        self._found("foreign", self._name(path), why, lambda: self.state.cas.put_aside(path))

    def _entries(self, directory: Path) -> Iterator[Path]:
        try:
            names = sorted(os.listdir(directory))  # noqa: PTH208 - one that cannot be read in full is still a list
        except OSError as error:
            self._found("unreadable", self._name(directory), str(error.strerror))
            return
        for name in names:
            yield directory / name

    def _shard(self, shard: Path) -> None:
        try:
            is_directory = stat.S_ISDIR(shard.lstat().st_mode)
        except OSError as error:
            self._found("unreadable", self._name(shard), str(error.strerror))
            return
        if not _SHARD.match(shard.name) or not is_directory:
            self._foreign(shard, "not one of the 256 directories of objects")
            return
        for path in self._entries(shard):
            if _NAME.match(path.name) and path.name.startswith(shard.name):
                self._object(path, Digest(f"sha256:{path.name}"))
            else:
                self._foreign(path, "its name is no digest that belongs here")

    def _object(self, path: Path, digest: Digest) -> None:
        self.objects += 1
        try:
            fd = open_object(path, digest)
        except MissingError:  # collected meanwhile
            return
        except DamagedError as error:
            self._damaged(digest, error)
            return
        except BangerError as error:
            self._found("unreadable", digest, error.message)
            return
        try:
            self._content(fd, digest)
        finally:
            os.close(fd)

    def _content(self, fd: int, digest: Digest) -> None:
        def count(size: int) -> None:
            self.bytes_read += size
            self.told(self.objects, self.bytes_read)

        expected = self.state.cas.stamps.size(digest)
        try:
            size = os.fstat(fd).st_size
            if expected not in {None, size}:
                raise DamagedError(f"{digest}: has {size} bytes, not {expected}")  # noqa: TRY301 - as if it were read
            status = verify_object(fd, digest, between=count)
        except DamagedError as error:
            self._damaged(digest, error)
            return
        mode = stat.S_IMODE(status.st_mode)
        if mode != MODE:
            self._found("mode", digest, f"its mode is {mode:04o}, not {MODE:04o}", lambda: os.fchmod(fd, MODE))
        self.told(self.objects, self.bytes_read)

    def _damaged(self, digest: Digest, error: DamagedError) -> None:
        self._found("damaged", digest, error.message, lambda: self.state.cas.quarantine(digest))

    def _records(self) -> None:
        for digest, record in self._examined():
            self.records += 1

            def forget(one: Digest = digest) -> None:
                self.state.actions.forget(one)

            if record is None:
                self._found("record", digest, "the remembered action cannot be read", forget)
                continue
            lost = [artifact for artifact in record.output.artifacts if not self._is_there(artifact)]
            if lost:
                what = f"{record.kind} {record.label}".strip()
                self._found("record", digest, f"{what} stands on {', '.join(lost)}, which is not there", forget)

    def _examined(self) -> Iterator[tuple[Digest, Record | None]]:
        try:
            yield from self.state.actions.examine()
        except BangerError as error:
            self._found("database", "actions", error.message)

    def _vanished(self) -> None:
        """Objects that were put here once. One that a record stands on has been told with the record."""
        for digest in self.state.cas.stamps.all():
            if not self._is_there(digest):

                def drop(one: Digest = digest) -> None:
                    self.state.cas.stamps.drop(one)

                self._found("vanished", digest, "was stored and is not there", drop)

    def _is_there(self, digest: Digest) -> bool:
        """By name: its content has been looked at, and if that was damaged and repaired, the name is gone."""
        return self.state.cas.is_there(digest)

    def _leases(self) -> None:
        """A VM on an image that is gone cannot be mended here; its other artifacts can be made again."""
        try:
            held = [*vm_roots(self.state)]
        except BangerError as error:
            self._found("lease", "journal", error.message)
            return
        for owner, digest in dict.fromkeys(held):
            if not self._is_there(digest):
                self._found("lease", owner, f"was made from {digest}, which is not there")

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.state.cas.root))
