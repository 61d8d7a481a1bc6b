"""`vm.setup`: the disks of a guest in which a command has run once, on some files of the user and nothing else."""

from pathlib import Path
from typing import ClassVar

import anyio.from_thread
import anyio.to_thread

from banger.ext4.grow import clone_sparse, grow
from banger.guest.channel import AgentChannel
from banger.guest.preparing import prepare
from banger.host.packed import pack
from banger.host.pidfd import ProcessIdentity, open_process
from banger.model.action import MEMORY, Needs
from banger.model.errors import GuestError
from banger.model.handles import File, FrozenDisks, HostVmm, KernelFiles, LockFile
from banger.tasks import Build, Context, Progress, Ref
from banger.vm import AGENT_SOCKET, Accelerator, Disk, DiskFormat, Machine, UserNetwork
from banger.vm.alive import while_alive
from banger.vm.disks import create_overlay
from banger.vm.ports import free_port
from banger.vm.qcow2 import set_backing
from banger.vm.qemu import Qemu
from banger.vm.session import BOOT_PARAMETERS, ROOT_FILE, ROOT_SERIAL, TEMPLATE_MAC, WORK_FILE, WORK_SERIAL
from banger.vm.stop import kill

_LAUNCH_DEADLINE_S = 60.0
_BOOT_DEADLINE_S = 240.0
_POWER_OFF_DEADLINE_S = 60.0


class VmSetup(Build[FrozenDisks], frozen=True, kw_only=True):
    """The guest has a network, no name, no key, no workspace and no environment of the user's.

    Deterministic as far as the command is: that its lock files pin what it fetches is what makes it worth keeping.
    `locks` None: it has no checkout, and the command runs in /root.
    """

    kind: ClassVar[str] = "vm.setup"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("vmm", 1),), network=True)
    deadline_s: ClassVar[int] = 4 * 3600
    command: str
    locks: tuple[LockFile, ...] | None
    vcpus: int
    memory_mib: int
    work_bytes: int
    vmm: Ref[HostVmm]
    kernel: Ref[KernelFiles]
    initramfs: Ref[File]
    image: Ref[File]
    seed: Ref[File]

    def claims(self) -> Needs:
        """A launch, and the guest's memory."""
        return Needs(pools=(*self.needs.pools, (MEMORY, self.memory_mib)), network=True)

    async def build(self, ctx: Context) -> FrozenDisks:
        """Boot, run the command, power off, keep the disks. Raises GuestError if the command fails."""
        directory = ctx.scratch / "vm"
        directory.mkdir(mode=0o700)
        root, work = directory / ROOT_FILE, directory / WORK_FILE
        image = ctx.value(self.image)
        await create_overlay(ctx.path(image), root)
        await clone_sparse(ctx.path(ctx.value(self.seed)), work)
        await grow(work, self.work_bytes)
        machine = self._machine(ctx, directory, image.size)
        process = await Qemu.installed().launch(machine, deadline_s=_LAUNCH_DEADLINE_S, ends_with_us=True)
        try:
            agent = await while_alive(process, lambda: self._prepare(ctx, directory), directory)
            await _power_off(agent, process)
        finally:
            await kill(process)
        set_backing(root, None)
        return await anyio.to_thread.run_sync(self._keep, ctx, root, work)

    async def _prepare(self, ctx: Context, directory: Path) -> AgentChannel:
        files = None
        if self.locks is not None:
            files = {one.path: ctx.state.cas.read(one.file.digest) for one in self.locks}
        agent = await AgentChannel.connect(directory / AGENT_SOCKET, deadline_s=_BOOT_DEADLINE_S)
        try:
            await agent.wait_network(deadline_s=_BOOT_DEADLINE_S)
            await prepare(agent, self.command, files, lambda line: ctx.report(Progress(0, None, "items", line)))
        except BaseException:
            await agent.aclose()
            raise
        return agent

    def _keep(self, ctx: Context, root: Path, work: Path) -> FrozenDisks:
        packed = ctx.scratch / "work"
        pack(work, packed, anyio.from_thread.check_cancelled)
        return FrozenDisks(ctx.keep(root), ctx.keep(packed))

    def _machine(self, ctx: Context, directory: Path, root_bytes: int) -> Machine:
        vmm = ctx.value(self.vmm)
        return Machine(
            vm_id=f"setup-{ctx.scratch.name}",
            vm_dir=directory,
            vcpus=self.vcpus,
            memory_mib=self.memory_mib,
            accelerator=Accelerator(vmm.accelerator),
            kernel=ctx.path(ctx.value(self.kernel).bzimage),
            initramfs=ctx.path(ctx.value(self.initramfs)),
            parameters=BOOT_PARAMETERS,
            disks=(
                Disk(ROOT_FILE, ROOT_SERIAL, DiskFormat.QCOW2, root_bytes),
                Disk(WORK_FILE, WORK_SERIAL, DiskFormat.RAW, self.work_bytes),
            ),
            network=UserNetwork(free_port(), TEMPLATE_MAC),
            tsc_khz=vmm.tsc_khz,
        )


async def _power_off(agent: AgentChannel, process: ProcessIdentity) -> None:
    """Have the guest unmount its disks and end. Raises GuestError if it does not."""
    async with agent:
        with open_process(process) as held:
            await agent.shutdown()
            if held is not None and not await held.wait(_POWER_OFF_DEADLINE_S):
                raise GuestError(f"after the set-up the guest did not power off in {_POWER_OFF_DEADLINE_S:g} s")
