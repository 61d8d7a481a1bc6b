"""The state directory, opened: every part of the store over one database, and the names of what lies beside it."""

from contextlib import ExitStack
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
from banger.store.files import Files, Reached, refusals, unwatched
from banger.store.journal import Journal
from banger.store.lock import GuestLock, StateLock, is_free, opening
from banger.store.recorder import Recorder
from banger.store.runs import Runs
from banger.store.scratch import Scratch

if TYPE_CHECKING:
    from banger.store.answers import Answers
    from banger.store.history import History
    from banger.store.images import Images
    from banger.store.kernels import Kernels
    from banger.store.pins import Pins
    from banger.store.vms import Vms

DATABASE_NAME = "banger.db"


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

        with refusals(f"open {self.root / 'answers'}"):
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

    @cached_property
    def kernels(self) -> "Kernels":
        """Kernels that were pulled or imported by name."""
        from banger.store.kernels import Kernels

        return Kernels(self.database, self.clock)

    @cached_property
    def pins(self) -> "Pins":
        """What the user wants kept."""
        from banger.store.pins import Pins

        return Pins(self.database, self.clock)

    @cached_property
    def images(self) -> "Images":
        """The images that have a name."""
        from banger.store.images import Images

        return Images(self.database, self.clock)

    @property
    def vms_dir(self) -> Path:
        """Directories of VMs, by VM id."""
        return self.root / "vms"

    @property
    def apt_dir(self) -> Path:
        """The private root of apt: what it has read of archives' indices, so that the next time it asks for changes."""
        return self.root / "apt"

    @property
    def downloads_dir(self) -> Path:
        """Files on their way from the network, each by its sha256: what a cut left is gone on from."""
        return self.root / "downloads"

    @property
    def layers_dir(self) -> Path:
        """Layers of container images on their way to the CAS; what a cut has left of one stays to be gone on from."""
        return self.root / "layers"

    @property
    def client_key(self) -> Path:
        """The SSH key that banger logs in with; its public half is beside it, as `.pub`."""
        return self.root / "ssh" / "id_ed25519"

    def close(self) -> None:
        """Give the state directory back, also if the last records cannot be written; that is raised afterwards."""
        with ExitStack() as last:
            last.callback(self.lock.release)
            last.callback(self.database.close)
            last.callback(self.claims.close)
            if "answers" in self.__dict__:
                last.callback(self.answers.close)
            self.recorder.flush()


def open_state(root: Path, clock: Clock | None = None, reached: Reached = unwatched) -> State:
    """Open a state directory, making it if need be. Raises ConflictError if it has an owner, StoreError if unusable.

    `reached` is told every step of the write protocol, and every commit, before it is done.
    """
    with refusals(f"open {root}"):
        _make_directories(root)
        with opening(root):
            lock = StateLock(root)
            return _open(root, clock or SystemClock(), lock, reached, alone=is_free(root, "guests"))


def join_state(root: Path, clock: Clock | None = None) -> State:
    """Open a state directory beside its owner and other guests, to make artifacts only. Raises StoreError."""
    with refusals(f"open {root}"):
        _make_directories(root)
        with opening(root):
            alone = is_free(root, "guests") and is_free(root, "lock")
            return _open(root, clock or SystemClock(), GuestLock(root), unwatched, alone=alone)


def _make_directories(root: Path) -> None:
    for directory in (root, root / "vms", root / "ssh"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _open(root: Path, clock: Clock, lock: StateLock | GuestLock, reached: Reached, *, alone: bool) -> State:
    """Open all of it; if that fails, none of it is left open, and the lock is given back."""
    is_owner = isinstance(lock, StateLock)
    with ExitStack() as undo:
        undo.callback(lock.release)
        is_new = not (root / DATABASE_NAME).exists()
        database = Database(root / DATABASE_NAME, reached, with_ballast=is_owner)
        undo.callback(database.close)
        cas = Cas(root / "cas", database, reached)
        scratch = Scratch(root / "tmp")
        claims = Claims(root / "claims")
        undo.callback(claims.close)
        if is_owner:
            from banger.store.outline import keep_outline

            keep_outline(database, reached)
        if is_owner or is_new:
            Files(reached).sync_directory(root)  # the names of all that was made above
        if alone:
            scratch.sweep()
            cas.sweep()
        actions = ActionCache(database, cas, clock)
        state = State(
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
        undo.pop_all()
    return state
