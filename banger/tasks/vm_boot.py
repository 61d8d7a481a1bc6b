"""`vm.boot`: a running VMM whose guest has begun to boot."""

from typing import ClassVar

from banger.host.pidfd import ProcessIdentity, is_alive
from banger.model.action import MEMORY, Needs, Scope
from banger.model.handles import File, HostVmm, KernelFiles, RunningVm, UserNet
from banger.tasks import Context, Effect, Ref
from banger.vm import AGENT_SOCKET, Accelerator, Disk, DiskFormat, Machine
from banger.vm.qemu import Qemu
from banger.vm.session import (
    ROOT_FILE,
    ROOT_SERIAL,
    WORK_FILE,
    WORK_SERIAL,
    boot_parameters,
    disk_sizes,
    kill_all,
    network_of,
    stop_gently,
)

_LAUNCH_DEADLINE_S = 30.0


class VmBoot(Effect[RunningVm], frozen=True, kw_only=True):
    """The process bears the VM's id in its argv: so it is found again even if nobody wrote its number down."""

    kind: ClassVar[str] = "vm.boot"
    version: ClassVar[int] = 2
    scope: ClassVar[Scope] = Scope.SESSION
    needs: ClassVar[Needs] = Needs(pools=(("vmm", 1),))
    deadline_s: ClassVar[int] = 60
    vm: str
    vcpus: int
    memory_mib: int
    vmm: Ref[HostVmm]
    kernel: Ref[KernelFiles]
    initramfs: Ref[File]
    net: Ref[UserNet]

    def claims(self) -> Needs:
        """A launch, and the guest's memory: two VMs that fit one after the other are not started at once."""
        return Needs(pools=(*self.needs.pools, (MEMORY, self.memory_mib)))

    async def probe(self, ctx: Context, value: RunningVm) -> bool:
        """Whether that very process lives."""
        return is_alive(_identity(value))

    async def apply(self, ctx: Context) -> RunningVm:
        """Start the VMM. Raises TransientError if the port was taken meanwhile."""
        await kill_all(self.vm)
        accelerator = ctx.value(self.vmm).accelerator
        process = await Qemu.installed().launch(self._machine(ctx, accelerator), deadline_s=_LAUNCH_DEADLINE_S)
        return RunningVm(process.pid, process.start_ticks, process.boot_id, accelerator)

    async def undo(self, ctx: Context, value: RunningVm | None) -> None:
        """Stop the guest, gently if the user can wait, and then see to it that no process of the VM is left."""
        directory = ctx.vm_dir(self.vm)

        async def ask_the_agent() -> None:
            agent = await ctx.agents.channel(directory / AGENT_SOCKET, deadline_s=2.0)
            await agent.shutdown()

        if ctx.graceful and value is not None:
            await stop_gently(_identity(value), directory, ask_the_agent)
        await kill_all(self.vm)

    def _machine(self, ctx: Context, accelerator: str) -> Machine:
        net = ctx.value(self.net)
        root_bytes, work_bytes = disk_sizes(ctx.vm_dir(self.vm))
        return Machine(
            vm_id=self.vm,
            vm_dir=ctx.vm_dir(self.vm),
            vcpus=self.vcpus,
            memory_mib=self.memory_mib,
            accelerator=Accelerator(accelerator),
            kernel=ctx.path(ctx.value(self.kernel).bzimage),
            initramfs=ctx.path(ctx.value(self.initramfs)),
            parameters=boot_parameters(net),
            disks=(
                Disk(ROOT_FILE, ROOT_SERIAL, DiskFormat.QCOW2, root_bytes),
                Disk(WORK_FILE, WORK_SERIAL, DiskFormat.RAW, work_bytes),
            ),
            network=network_of(net),
            tsc_khz=ctx.value(self.vmm).tsc_khz,
        )


def _identity(value: RunningVm) -> ProcessIdentity:
    return ProcessIdentity(value.pid, value.start_ticks, value.boot_id)
