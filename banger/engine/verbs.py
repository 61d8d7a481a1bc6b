"""What is done to VMs that are there: restarted, killed, renamed, given another shape."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from banger.engine.looks import Looks
from banger.engine.observe import Emit
from banger.engine.views import vm_state
from banger.ext4.grow import grow
from banger.guest.naming import name_guest
from banger.model.action import Scope
from banger.model.errors import BangerError, ConflictError, SpecError
from banger.model.limits import check_sizes
from banger.model.verbs import VmChange
from banger.model.vm import Sizes, VmRequest, VmView, check_vm_name, format_size
from banger.store.vms import VmRecord
from banger.vm import AGENT_SOCKET
from banger.vm.lifecycle import VmState
from banger.vm.session import WORK_FILE
from banger.vm.stop import kill

_AT_REST = frozenset({VmState.STOPPED, VmState.FAILED})
_AGENT_DEADLINE_S = 10.0


class Verbs(Looks):
    """A part of `EngineService`, which has what is only declared here."""

    def _alone_with(self, record: VmRecord, what: VmState) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    async def _release(self, vm: str, what: str, scope: Scope, emit: Emit, *, graceful: bool) -> None:
        raise NotImplementedError

    async def start_vm(self, ref: str, emit: Emit) -> VmView:
        """As `Service` says."""
        raise NotImplementedError

    async def stop_vm(self, ref: str, emit: Emit) -> VmView:
        """As `Service` says."""
        raise NotImplementedError

    async def show_vm(self, ref: str) -> VmView:
        """As `Service` says."""
        raise NotImplementedError

    async def restart_vm(self, ref: str, emit: Emit) -> VmView:
        """Stop a VM as `stop_vm` does, and start it."""
        record = self._state.vms.find(ref)
        await self.stop_vm(record.id, emit)
        return await self.start_vm(record.id, emit)

    async def kill_vm(self, ref: str, emit: Emit) -> VmView:
        """End a VM at once. Its VMM goes before we queue behind who waits for the guest: a stop, or a start."""
        record = self._state.vms.find(ref)
        if self._busy.get(record.id) is VmState.CREATING:
            raise ConflictError(f"{record.name} is being created", hint="stop that command with Ctrl-C")
        _, process = vm_state(self._state.journal.of_vm(record.id))
        if process is not None:
            await kill(process)
        async with self._alone_with(record, VmState.STOPPING):
            await self._release(record.id, "vm.kill", Scope.SESSION, emit, graceful=False)
        return await self.show_vm(record.id)

    async def change_vm(self, ref: str, change: VmChange, emit: Emit) -> VmView:
        """Change a VM's name, or the shape of a stopped one. Either all of it is done, or nothing is recorded."""
        record = self._state.vms.find(ref)
        async with self._alone_with(record, vm_state(self._state.journal.of_vm(record.id))[0]):
            record = self._state.vms.find(record.id)
            found, _ = vm_state(self._state.journal.of_vm(record.id))
            if change.is_of_the_machine and found not in _AT_REST:
                raise ConflictError(
                    f"VM {record.name!r} is {found}: its shape can only be changed while it is stopped",
                    hint=f"banger vm stop {record.name}",
                )
            name = record.name if change.name is None else check_vm_name(change.name)
            if name != record.name and name in self._state.vms.names():
                raise ConflictError(f"there is a VM called {name} already", hint=f"banger vm show {name}")
            request = changed(record.request, change)
            if request.sizes.disk_bytes > record.request.sizes.disk_bytes:
                await grow(self._vm_dir(record) / WORK_FILE, request.sizes.disk_bytes)
            self._state.vms.change(record.id, name, request)
            if name != record.name and found is VmState.RUNNING:
                await self._tell_its_name(record, name)
        return await self.show_vm(record.id)

    async def _tell_its_name(self, record: VmRecord, name: str) -> None:
        """Tell a running guest its new name; if it does not take it, the VM keeps the old one."""
        try:
            agent = await self._engine.agents.channel(self._vm_dir(record) / AGENT_SOCKET, deadline_s=_AGENT_DEADLINE_S)
            await name_guest(agent, self._vm_dir(record), vm=record.id, name=name, authorized_key=self._authorized_key)
        except BangerError as error:
            self._state.vms.change(record.id, record.name, record.request)
            hint = f"banger vm stop {record.name}, and rename it then"
            raise ConflictError(
                f"VM {record.name!r} keeps its name, as its guest cannot be told another: {error.message}", hint=hint
            ) from error

    def _vm_dir(self, record: VmRecord) -> Path:
        return self._state.vms_dir / record.id


def changed(request: VmRequest, change: VmChange) -> VmRequest:
    """The request that a VM would have been made by, had it been asked for so. Raises SpecError for what cannot be."""
    old = request.sizes
    sizes = check_sizes(
        Sizes(
            old.vcpus if change.vcpus is None else change.vcpus,
            old.memory_mib if change.memory_mib is None else change.memory_mib,
            old.disk_bytes if change.disk_bytes is None else change.disk_bytes,
        )
    )
    if sizes.disk_bytes < old.disk_bytes:
        raise SpecError(
            f"a disk of {format_size(old.disk_bytes)} cannot become smaller: {format_size(sizes.disk_bytes)}"
        )
    return replace(request, sizes=sizes, nat=request.nat if change.nat is None else change.nat)
