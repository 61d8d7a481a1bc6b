"""The state directory, opened: every part of the store over one database, and the names of what lies beside it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from banger.host.clock import SystemClock
from banger.model.clock import Clock
from banger.store.actions import ActionCache
from banger.store.cas import Cas
from banger.store.claims import Claims
from banger.store.database import Database
from banger.store.journal import Journal
from banger.store.lock import GuestLock, StateLock, is_free, opening
from banger.store.recorder import Recorder
from banger.store.runs import Runs
from banger.store.scratch import Scratch

if TYPE_CHECKING:
    from banger.store.answers import Answers
    from banger.store.history import History
    from banger.store.vms import Vms


@dataclass(frozen=True)
class State:
    """A state directory, as its one owner or as a guest."""

    root: Path
    lock: StateLock | GuestLock
    clock: Clock
    database: Database
    cas: Cas
    actions: ActionCache
    recorder: Recorder
    claims: Claims
    journal: Journal
    runs: Runs
    scratch: Scratch

    @property
    def is_owner(self) -> bool:
        """Whether this process may change the host, and undoes what others have left there."""
        return isinstance(self.lock, StateLock)

    @cached_property
    def answers(self) -> "Answers":
        """Answers of Queries; opened when the first one is asked for, since a graph may have none."""
        from banger.store.answers import Answers

        return Answers(self.root / "answers", self.clock)

    @cached_property
    def history(self) -> "History":
        """Past runs, as far as they are kept."""
        from banger.store.history import History

        return History(self.database)

    @cached_property
    def vms(self) -> "Vms":
        """The VMs that exist by name."""
        from banger.store.vms import Vms

        return Vms(self.database, self.clock)

    @property
    def vms_dir(self) -> Path:
        """Directories of VMs, by VM id."""
        return self.root / "vms"

    @property
    def apt_dir(self) -> Path:
        """The private root of apt: what it has read of archives' indices, so that the next time it asks for changes."""
        return self.root / "apt"

    @property
    def client_key(self) -> Path:
        """The SSH key that banger logs in with; its public half is beside it, as `.pub`."""
        return self.root / "ssh" / "id_ed25519"

    def close(self) -> None:
        """Give the state directory back."""
        if "answers" in self.__dict__:
            self.answers.close()
        self.recorder.flush()
        self.claims.close()
        self.database.close()
        self.lock.release()


def open_state(root: Path, clock: Clock | None = None) -> State:
    """Open a state directory, making it if need be. Raises ConflictError if it has an owner, StoreError if unusable."""
    _make_directories(root)
    with opening(root):
        lock = StateLock(root)
        return _open(root, clock or SystemClock(), lock, alone=is_free(root, "guests"))


def join_state(root: Path, clock: Clock | None = None) -> State:
    """Open a state directory beside its owner and other guests, to make artifacts only. Raises StoreError."""
    _make_directories(root)
    with opening(root):
        alone = is_free(root, "guests") and is_free(root, "lock")
        return _open(root, clock or SystemClock(), GuestLock(root), alone=alone)


def _make_directories(root: Path) -> None:
    for directory in (root, root / "vms", root / "ssh"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _open(root: Path, clock: Clock, lock: StateLock | GuestLock, *, alone: bool) -> State:
    database = Database(root / "banger.db")
    cas = Cas(root / "cas", database)
    scratch = Scratch(root / "tmp")
    if alone:
        scratch.sweep()
        cas.sweep()
    actions = ActionCache(database, cas, clock)
    claims = Claims(root / "claims")
    return State(
        root=root,
        lock=lock,
        clock=clock,
        database=database,
        cas=cas,
        actions=actions,
        recorder=Recorder(actions, claims, clock),
        claims=claims,
        journal=Journal(database),
        runs=Runs(database, clock),
        scratch=scratch,
    )
