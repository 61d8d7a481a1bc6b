"""The state directory, opened: every part of the store over one database, and the names of what lies beside it."""

from dataclasses import dataclass
from pathlib import Path

from banger.host.clock import SystemClock
from banger.model.clock import Clock
from banger.store.actions import ActionCache
from banger.store.answers import Answers
from banger.store.cas import Cas
from banger.store.database import Database
from banger.store.journal import Journal
from banger.store.lock import StateLock
from banger.store.runs import Runs
from banger.store.scratch import Scratch
from banger.store.vms import Vms


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


def open_state(root: Path, clock: Clock | None = None) -> State:
    """Open a state directory, making it if need be. Raises ConflictError if it has an owner, StoreError if unusable."""
    clock = clock or SystemClock()
    for directory in (root, root / "vms", root / "ssh"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = StateLock(root)
    database = Database(root / "banger.db")
    cas = Cas(root / "cas", database)
    scratch = Scratch(root / "tmp")
    scratch.sweep()
    cas.sweep()
    return State(
        root=root,
        lock=lock,
        clock=clock,
        database=database,
        cas=cas,
        actions=ActionCache(database, cas, clock),
        answers=Answers(root / "answers", clock),
        journal=Journal(database),
        vms=Vms(database, clock),
        runs=Runs(database, clock),
        scratch=scratch,
    )
