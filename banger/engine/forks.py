"""Forks: a VM that runs is frozen and goes on; others go on from there, with names and keys of their own."""

import uuid
from collections.abc import Callable

import anyio
import msgspec

from banger.engine.observe import Emit
from banger.engine.run import Engine
from banger.model.action import Scope
from banger.model.errors import BangerError, ConflictError
from banger.model.handles import File
from banger.model.vm import check_vm_name
from banger.plan.fork import FREEZE_NODE, forked_request, plan_fork, plan_freeze
from banger.plan.machine import HostFacts
from banger.store.state import State
from banger.store.vms import VmRecord

MOST = 32


async def fork(
    engine: Engine, record: VmRecord, count: int, name: str | None, host: Callable[[], HostFacts], emit: Emit
) -> list[str]:
    """Freeze a running VM and start `count` from it; return their ids. All of them come up, or none stays.

    Raises ConflictError for a name that is taken.
    """
    state = engine.state
    names = pick_names(state.vms.names(), name or f"{record.name}-fork", count, exact=name is not None)
    image = _image_below(state, record)
    made = {uuid.uuid4().hex: one for one in names}
    with state.cas.uses.operation():  # nothing but the forks' leases will speak of what is frozen
        outputs = await engine.run(plan_freeze(record.id, record.request.sizes.memory_mib), emit)
        frozen = outputs[FREEZE_NODE]
        try:
            for vm, one in made.items():
                request = forked_request(record.request, record.name, one)
                await engine.run(plan_fork(request, frozen, image, vm=vm, name=one, host=host()), emit)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await _take_back(engine, made, emit)
            raise
    return list(made)


def pick_names(taken: set[str], name: str, count: int, *, exact: bool) -> list[str]:
    """Names for forks: `name` for one that was named, else `name-1` and so on. Raises ConflictError, SpecError."""
    if exact and count == 1:
        if name in taken:
            raise ConflictError(f"there is a VM called {name} already", hint=f"banger vm show {name}")
        return [check_vm_name(name)]
    found: list[str] = []
    number = 1
    while len(found) < count:
        if f"{name}-{number}" not in taken:
            found.append(check_vm_name(f"{name}-{number}"))
        number += 1
    return found


async def _take_back(engine: Engine, made: dict[str, str], emit: Emit) -> None:
    for vm in made:
        leases = [lease for lease in engine.state.journal.of_vm(vm) if lease.scope <= Scope.VM]
        if leases:
            try:
                await engine.release("vm.delete", vm, leases, emit, graceful=False)
            except BangerError:
                continue  # it stays listed, as any VM does that could not be removed


def _image_below(state: State, record: VmRecord) -> File:
    """The image on which a VM's root disk lies: by its lease, as it may have been made anew since."""
    for lease in state.journal.of_vm(record.id):
        if lease.kind == "disk.rootfs":
            return msgspec.convert(lease.inputs["image"].value, File)
    raise ConflictError(f"VM {record.name!r} has no root disk of a known kind", hint=f"banger vm show {record.name}")
