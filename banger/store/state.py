"""The state directory, opened: every part of the store over one database, and the names of what lies beside it."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from banger.host.clock import SystemClock
from banger.model.clock import Clock
from banger.store.actions import ActionCache
from banger.store.answers import Answers
from banger.store.cas import Cas
from banger.store.database import Database
from banger.store.files import Files, Reached, refusals, unwatched
from banger.store.journal import Journal
from banger.store.lock import StateLock
from banger.store.pins import Pins
from banger.store.runs import Runs
from banger.store.scratch import Scratch
from banger.store.vms import Vms

DATABASE_NAME = "banger.db"


@dataclass(frozen=True, slots=True)
class State:
    """The one owner of a state directory."""

    root: Path
    lock: StateLock
    clock: Clock
    database: Database
    cas: Cas
    actions: ActionCache
    answers: Answers
    journal: Journal
    vms: Vms
    pins: Pins
    runs: Runs
    scratch: Scratch

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
        self.answers.close()
        self.database.close()
        self.lock.release()


def open_state(root: Path, clock: Clock | None = None, reached: Reached = unwatched) -> State:
    """Open a state directory, making it if need be. Raises ConflictError if it has an owner, StoreError if unusable.

    `reached` is told every step of the write protocol, and every commit, before it is done.
    """
    clock = clock or SystemClock()
    with refusals(f"open {root}"):
        for directory in (root, root / "vms", root / "ssh"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as undo:
            lock = StateLock(root)
            undo.callback(lock.release)
            database = Database(root / DATABASE_NAME, reached)
            undo.callback(database.close)
            cas = Cas(root / "cas", database, reached)
            files = Files(reached)
            files.sync_directory(root)  # the names of all that was made above
            scratch = Scratch(root / "tmp")
            scratch.sweep()
            cas.sweep()
            answers = Answers(root / "answers", clock)
            undo.pop_all()
    return State(
        root=root,
        lock=lock,
        clock=clock,
        database=database,
        cas=cas,
        actions=ActionCache(database, cas, clock),
        answers=answers,
        journal=Journal(database),
        vms=Vms(database, clock),
        pins=Pins(database, clock),
        runs=Runs(database, clock),
        scratch=scratch,
    )
