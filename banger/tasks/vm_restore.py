"""`vm.restore`: a running VMM whose guest goes on from where its template was frozen."""

from typing import ClassVar

import anyio.to_thread

from banger.host.pidfd import ProcessIdentity, is_alive
from banger.model.action import MEMORY, Needs, Scope
from banger.model.errors import StoreError, TemplateError
from banger.model.handles import FrozenVm, HostVmm, RunningVm, UserNet
from banger.tasks import Context, Effect, Ref
from banger.vm import AGENT_SOCKET, Accelerator, Machine
from banger.vm.qemu import Qemu
from banger.vm.qemu_template import QemuTemplates
from banger.vm.session import WORK_SERIAL, disk_sizes, kill_all, network_of, stop_gently, template_machine
from banger.vm.template import FrozenFiles

_DEADLINE_S = 30.0
_REQUEST_DEADLINE_S = 2.0


class VmRestore(Effect[RunningVm], frozen=True, kw_only=True):
    """Puts out what `vm.boot` does. Until it has entropy, a time and an identity of its own it is no VM of anybody."""

    kind: ClassVar[str] = "vm.restore"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    needs: ClassVar[Needs] = Needs(pools=(("vmm", 1),))
    deadline_s: ClassVar[int] = 60
    retries: ClassVar[int] = 2
    vm: str
    vcpus: int
    memory_mib: int
    vmm: Ref[HostVmm]
    template: Ref[FrozenVm]
    net: Ref[UserNet]

    def claims(self) -> Needs:
        """A launch, and the guest's memory, which may become its own in the end."""
        return Needs(pools=(*self.needs.pools, (MEMORY, self.memory_mib)))

    async def probe(self, ctx: Context, value: RunningVm) -> bool:
        """Whether that very process lives."""
        return is_alive(_identity(value))

    async def apply(self, ctx: Context) -> RunningVm:
        """Start the VMM from the template. Raises TemplateError if that cannot be used, TransientError for the port."""
        await kill_all(self.vm)
        template = ctx.value(self.template)
        try:
            memory = await anyio.to_thread.run_sync(ctx.path, template.memory)  # may have to digest gigabytes
            frozen = FrozenFiles(memory=memory, devices=ctx.path(template.devices))
        except StoreError as error:
            raise TemplateError(error.message) from error
        templates = QemuTemplates(Qemu.installed())
        machine = self._machine(ctx)
        process = await templates.restore(machine, frozen, replaced=(WORK_SERIAL,), deadline_s=_DEADLINE_S)
        accelerator = ctx.value(self.vmm).accelerator
        return RunningVm(process.pid, process.start_ticks, process.boot_id, accelerator)

    async def undo(self, ctx: Context, value: RunningVm | None) -> None:
        """Stop the guest, gently if the user can wait, and then see to it that no process of the VM is left."""
        directory = ctx.vm_dir(self.vm)

        async def ask_the_agent() -> None:
            agent = await ctx.agents.channel(directory / AGENT_SOCKET, deadline_s=_REQUEST_DEADLINE_S)
            await agent.shutdown()

        if ctx.graceful and value is not None:
            await stop_gently(_identity(value), directory, ask_the_agent)
        await kill_all(self.vm)

    def _machine(self, ctx: Context) -> Machine:
        vmm, net, directory = ctx.value(self.vmm), ctx.value(self.net), ctx.vm_dir(self.vm)
        root_bytes, work_bytes = disk_sizes(directory)
        return template_machine(
            directory,
            vm_id=self.vm,
            vcpus=self.vcpus,
            memory_mib=self.memory_mib,
            accelerator=Accelerator(vmm.accelerator),
            root_bytes=root_bytes,
            work_bytes=work_bytes,
            network=network_of(net),
            tsc_khz=vmm.tsc_khz,
        )


def _identity(value: RunningVm) -> ProcessIdentity:
    return ProcessIdentity(value.pid, value.start_ticks, value.boot_id)
