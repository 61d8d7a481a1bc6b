"""`vm.boot`: a running VMM whose guest has begun to boot."""

from typing import ClassVar

from banger.host.pidfd import ProcessIdentity, is_alive
from banger.model.action import MEMORY, Needs, Scope
from banger.model.errors import HostError
from banger.model.handles import File, HostVmm, KernelFiles, RunningVm, UserNet
from banger.tasks import Context, Effect, Ref
from banger.vm import AGENT_SOCKET, USER_NETWORK, Accelerator, Disk, DiskFormat, Machine, UserNetwork
from banger.vm.disks import overlay_size
from banger.vm.qemu import Qemu
from banger.vm.stop import AGENT_DEADLINE_S, QUIT_DEADLINE_S, Rung, StoppedBy, kill, stop
from banger.vm.tsc import host_tsc_khz

ROOT_FILE = "root.qcow2"
WORK_FILE = "work.raw"
ROOT_SERIAL = "root"
WORK_SERIAL = "work"
_LAUNCH_DEADLINE_S = 30.0


class VmBoot(Effect[RunningVm], frozen=True, kw_only=True):
    """The process bears the VM's id in its argv: so it is found again even if nobody wrote its number down."""

    kind: ClassVar[str] = "vm.boot"
    version: ClassVar[int] = 1
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
        await self._kill_all()
        accelerator = ctx.value(self.vmm).accelerator
        process = await Qemu.installed().launch(self._machine(ctx, accelerator), deadline_s=_LAUNCH_DEADLINE_S)
        return RunningVm(process.pid, process.start_ticks, process.boot_id, accelerator)

    async def undo(self, ctx: Context, value: RunningVm | None) -> None:
        """Stop the guest, gently if the user can wait, and then see to it that no process of the VM is left."""
        if ctx.graceful and value is not None:
            await stop(_identity(value), self._ladder(ctx))
        await self._kill_all()

    async def _kill_all(self) -> None:
        for process in Qemu.installed().find(self.vm):
            await kill(process)

    def _ladder(self, ctx: Context) -> list[Rung]:
        directory = ctx.vm_dir(self.vm)

        async def ask_the_agent() -> None:
            agent = await ctx.agents.channel(directory / AGENT_SOCKET, deadline_s=2.0)
            await agent.shutdown()

        async def quit_the_vmm() -> None:
            await Qemu.installed().quit(directory)

        return [
            Rung(StoppedBy.AGENT, ask_the_agent, AGENT_DEADLINE_S),
            Rung(StoppedBy.QUIT, quit_the_vmm, QUIT_DEADLINE_S),
        ]

    def _machine(self, ctx: Context, accelerator: str) -> Machine:
        net = ctx.value(self.net)
        return Machine(
            vm_id=self.vm,
            vm_dir=ctx.vm_dir(self.vm),
            vcpus=self.vcpus,
            memory_mib=self.memory_mib,
            accelerator=Accelerator(accelerator),
            kernel=ctx.path(ctx.value(self.kernel).bzimage),
            initramfs=ctx.path(ctx.value(self.initramfs)),
            parameters=(f"banger.root={ROOT_SERIAL}", f"banger.work={WORK_SERIAL}", f"banger.net={USER_NETWORK}"),
            disks=self._disks(ctx),
            network=UserNetwork(net.ssh_port, net.mac),
            tsc_khz=host_tsc_khz(),
        )

    def _disks(self, ctx: Context) -> tuple[Disk, Disk]:
        """What `disk.rootfs` and `disk.work` made, now or before an earlier boot: disks outlive what made them."""
        root, work = ctx.vm_dir(self.vm) / ROOT_FILE, ctx.vm_dir(self.vm) / WORK_FILE
        for disk in (root, work):
            if not disk.is_file():
                raise HostError(f"the VM's disk {disk} is missing", hint="banger vm delete <vm>")
        return (
            Disk(ROOT_FILE, ROOT_SERIAL, DiskFormat.QCOW2, overlay_size(root)),
            Disk(WORK_FILE, WORK_SERIAL, DiskFormat.RAW, work.stat().st_size),
        )


def _identity(value: RunningVm) -> ProcessIdentity:
    return ProcessIdentity(value.pid, value.start_ticks, value.boot_id)
