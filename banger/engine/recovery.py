"""After a crash: whatever no finished run stands for is undone, by the same release nodes as always."""

from banger.engine.observe import Emit
from banger.engine.run import Engine
from banger.model.errors import BangerError
from banger.store.journal import Lease


async def recover(engine: Engine, emit: Emit) -> list[str]:
    """Undo the leases of runs that died with their process. To be called before anything else runs.

    Returns one line for each VM whose leases could not all be undone; they stay in the journal for the next time.
    """
    by_vm: dict[str | None, list[Lease]] = {}
    for lease in engine.state.journal.unfinished():
        by_vm.setdefault(lease.vm_id, []).append(lease)
    problems = []
    for vm_id, leases in by_vm.items():
        try:
            await engine.release("recover", vm_id, leases, emit, graceful=False)
        except BangerError as error:
            problems.append("; ".join([error.message, *getattr(error, "__notes__", [])]))
    return problems
