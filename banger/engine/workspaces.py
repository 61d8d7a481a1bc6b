"""Checkouts in VMs that run: prepared by a plan, exported through the agent. One thing at a time in each VM."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from banger.engine.observe import Emit
from banger.engine.run import Engine
from banger.guest.run import Ended, run_program
from banger.model.errors import ConflictError, NotFoundError
from banger.model.exec import ExecRequest
from banger.model.handles import Checkout
from banger.model.workspace import BranchView, ExportView, PreparedView, PrepareRequest
from banger.plan.workspace import SYNC_NODE, plan_prepare
from banger.store.vms import VmRecord
from banger.vm import AGENT_SOCKET
from banger.workspace.export import Receiver, branch_of, export_workspace, new_folder
from banger.workspace.record import Record, load_record

_AGENT_DEADLINE_S = 10.0
_EXPORT_DEADLINE_S = 1800.0


class Workspaces:
    """What is done with checkouts. Owns a lock for each VM that something was done in."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._locks: dict[str, anyio.Lock] = {}

    async def prepare(self, vm: VmRecord, request: PrepareRequest, emit: Emit) -> PreparedView:
        """Bring a VM's checkout up to date. Raises NotFoundError if it was never said with what."""
        async with self._alone(vm):
            wanted = request.workspace or self._record(vm).request
            plan = plan_prepare(wanted, vm=vm.id, replace=request.replace)
            checkout: Checkout = (await self._engine.run(plan, emit))[SYNC_NODE]
        behind = 0 if wanted.include_untracked else checkout.untracked
        return PreparedView(wanted.path, checkout.branch, checkout.files, checkout.how, checkout.sent, behind)

    async def export(self, vm: VmRecord, path: str | None) -> ExportView:
        """Take in what was done in a VM's checkout, to be looked at."""
        async with self._alone(vm):
            record = self._record(vm)
            current = record.current or record.pending
            if current is None:
                raise _nothing_prepared(vm)
            agent = await self._engine.agents.channel(self._directory(vm) / AGENT_SOCKET, deadline_s=_AGENT_DEADLINE_S)

            async def run(words: Sequence[str], sink: Receiver) -> Ended:
                return await run_program(agent, ExecRequest(tuple(words)), deadline_s=_EXPORT_DEADLINE_S, sink=sink)

            return await export_workspace(vm.name, current, run, new_folder(self._directory(vm)), path=path)

    async def make_branch(self, vm: VmRecord, export: str, name: str | None) -> BranchView:
        """Make an export a branch of the user's repository. Raises NotFoundError if a later export took its place."""
        async with self._alone(vm):
            exports = self._directory(vm) / "exports"
            if export not in {path.name for path in exports.glob("*")}:
                raise NotFoundError(f"VM {vm.name!r} has no such export", hint=f"banger vm workspace export {vm.name}")
            return await anyio.to_thread.run_sync(branch_of, exports / export, name)

    def forget(self, vm: str) -> None:
        """A VM has gone."""
        self._locks.pop(vm, None)

    def _record(self, vm: VmRecord) -> Record:
        record = load_record(self._directory(vm))
        if record is None:
            raise _nothing_prepared(vm)
        return record

    def _directory(self, vm: VmRecord) -> Path:
        return self._engine.state.vms_dir / vm.id

    @asynccontextmanager
    async def _alone(self, vm: VmRecord) -> AsyncIterator[None]:
        lock = self._locks.setdefault(vm.id, anyio.Lock())
        try:
            lock.acquire_nowait()
        except anyio.WouldBlock:
            raise ConflictError(f"the checkout of VM {vm.name!r} is being worked on", hint="try again") from None
        try:
            yield
        finally:
            lock.release()


def _nothing_prepared(vm: VmRecord) -> NotFoundError:
    return NotFoundError(
        f"no checkout was ever put into VM {vm.name!r}", hint=f"banger vm workspace prepare {vm.name} PATH"
    )
