"""`vm.template`: a guest that has booted from the image and is nobody yet, frozen. To restore it is not to boot."""

from pathlib import Path
from typing import ClassVar

import anyio.to_thread

from banger.guest.channel import AgentChannel
from banger.host.pidfd import ProcessIdentity
from banger.model.action import MEMORY, Needs
from banger.model.handles import File, FrozenDisks, FrozenVm, HostVmm, KernelFiles
from banger.tasks import Build, Context, Ref
from banger.vm import AGENT_SOCKET, Accelerator, Machine, UserNetwork
from banger.vm.alive import while_alive
from banger.vm.disks import create_empty, create_overlay, lay_delta
from banger.vm.ports import free_port
from banger.vm.qcow2 import set_backing
from banger.vm.qemu import Qemu
from banger.vm.qemu_template import QemuTemplates, finish_memory
from banger.vm.session import ROOT_FILE, STAND_IN_BYTES, TEMPLATE_MAC, WORK_FILE, template_machine
from banger.vm.stop import kill

_LAUNCH_DEADLINE_S = 60.0
_BOOT_DEADLINE_S = 240.0
_FREEZE_DEADLINE_S = 60.0


class VmTemplate(Build[FrozenVm], frozen=True, kw_only=True):
    """No user's data is in it, and no name, key or work disk of a VM.

    Deterministic in what counts: not the same bytes each time, but a machine in the same state, as far as anybody can
    tell after it was given an identity, a time and randomness of its own.
    `command_lines` is all that any accelerator's VMM would be told; `vmm` says which of them it is.
    """

    kind: ClassVar[str] = "vm.template"
    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(pools=(("vmm", 1),))
    deadline_s: ClassVar[int] = 420
    vcpus: int
    memory_mib: int
    format: int
    command_lines: tuple[tuple[str, ...], ...]
    vmm: Ref[HostVmm]
    kernel: Ref[KernelFiles]
    initramfs: Ref[File]
    image: Ref[File]
    setup: Ref[FrozenDisks] | None = None
    """What has prepared the root disk."""

    def claims(self) -> Needs:
        """A launch, and the guest's memory."""
        return Needs(pools=(*self.needs.pools, (MEMORY, self.memory_mib)))

    async def build(self, ctx: Context) -> FrozenVm:
        """Boot, wait for the agent, freeze. Raises GuestError if the guest does not come up."""
        directory = ctx.scratch / "vm"
        directory.mkdir(mode=0o700)
        image = ctx.value(self.image)
        if self.setup is None:
            await create_overlay(ctx.path(image), directory / ROOT_FILE)
        else:
            delta = ctx.path(ctx.value(self.setup).root)
            await anyio.to_thread.run_sync(lay_delta, delta, ctx.path(image), directory / ROOT_FILE)
        create_empty(directory / WORK_FILE, STAND_IN_BYTES)
        machine = self._machine(ctx, directory, image.size)
        templates, memory, devices = QemuTemplates(Qemu.installed()), ctx.scratch / "memory", ctx.scratch / "devices"
        process = await templates.launch_to_freeze(machine, memory, deadline_s=_LAUNCH_DEADLINE_S)
        try:
            await while_alive(process, lambda: _quiesce(directory), directory)
            await templates.freeze(machine, process, devices, deadline_s=_FREEZE_DEADLINE_S)
        finally:
            await _end(process)
        await finish_memory(memory)
        set_backing(directory / ROOT_FILE, None)
        # In a thread: to digest gigabytes would hold up whoever is served meanwhile.
        return await anyio.to_thread.run_sync(self._keep, ctx, memory, devices, directory / ROOT_FILE)

    def _keep(self, ctx: Context, memory: Path, devices: Path, disk: Path) -> FrozenVm:
        frozen = FrozenVm(ctx.keep(memory), ctx.keep(devices), ctx.keep(disk))
        # QEMU opens memory for writing even where it maps it privately (until 8.2, which can be told not to).
        ctx.state.cas.let_write(frozen.memory.digest)
        return frozen

    def _machine(self, ctx: Context, directory: Path, root_bytes: int) -> Machine:
        vmm = ctx.value(self.vmm)
        return template_machine(
            directory,
            vm_id=f"template-{ctx.scratch.name}",
            vcpus=self.vcpus,
            memory_mib=self.memory_mib,
            accelerator=Accelerator(vmm.accelerator),
            kernel=ctx.path(ctx.value(self.kernel).bzimage),
            initramfs=ctx.path(ctx.value(self.initramfs)),
            root_bytes=root_bytes,
            network=UserNetwork(free_port(), TEMPLATE_MAC),
            tsc_khz=vmm.tsc_khz,
        )


async def _quiesce(directory: Path) -> None:
    # The connection ends with the block: a clone's agent must not wait for a host that it never had.
    async with await AgentChannel.connect(directory / AGENT_SOCKET, deadline_s=_BOOT_DEADLINE_S) as agent:
        await agent.wait_network(deadline_s=_BOOT_DEADLINE_S)
        await agent.freeze(deadline_s=_FREEZE_DEADLINE_S)


async def _end(process: ProcessIdentity) -> None:
    await kill(process)
