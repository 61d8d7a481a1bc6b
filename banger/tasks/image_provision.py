"""`image.provision`: an image without SSH, booted once to install it, so that none of its VMs ever waits for that."""

import os
from pathlib import Path
from typing import ClassVar

import anyio.to_thread

from banger.debian.mirror import sources_here
from banger.ext4.grow import clone_sparse, repair
from banger.guest.channel import AgentChannel
from banger.guest.exec_session import Exit, Output
from banger.guest.provision import SOURCES_VARIABLE, script_of
from banger.host.pidfd import ProcessIdentity, open_process
from banger.model.action import MEMORY, Needs
from banger.model.errors import BangerError, GuestError, HostError
from banger.model.exec import ExecRequest
from banger.model.handles import File, HostVmm, KernelFiles
from banger.tasks import Aside, Build, Context, Progress, Ref
from banger.vm import AGENT_SOCKET, Accelerator, Disk, DiskFormat, Machine, UserNetwork
from banger.vm.alive import while_alive
from banger.vm.disks import create_empty
from banger.vm.ports import free_port
from banger.vm.qemu import Qemu
from banger.vm.session import ROOT_SERIAL, STAND_IN_BYTES, TEMPLATE_MAC, TEMPLATE_PARAMETERS, WORK_FILE, WORK_SERIAL
from banger.vm.stop import kill

_ROOT_FILE = "root.raw"
_MEMORY_MIB = 1024
_LAUNCH_DEADLINE_S = 60.0
_BOOT_DEADLINE_S = 240.0
_INSTALL_DEADLINE_S = 1800
_OFF_DEADLINE_S = 60.0
_KEPT_BYTES = 64 * 1024
_SHOWN_LINES = 12
_SHOWN_CHARACTERS = 60


class ProvisionImage(Build[File], frozen=True, kw_only=True):
    """Deterministic in what counts: what an archive has today is installed once, and then stays.

    family: of the system, as `banger.guest.provision` knows it. suite: of Debian, if it is one. The builder VM has the
    disk to itself, ends when we do, and of it nothing else is kept.
    """

    kind: ClassVar[str] = "image.provision"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("vmm", 1), (MEMORY, _MEMORY_MIB)), network=True)
    deadline_s: ClassVar[int] = _INSTALL_DEADLINE_S + 480
    family: str
    suite: str
    image: Aside[str]
    vmm: Ref[HostVmm]
    kernel: Ref[KernelFiles]
    initramfs: Ref[File]
    root: Ref[File]

    async def build(self, ctx: Context) -> File:
        """Boot, install, power off. Raises HostError with the end of what the installation wrote if it fails."""
        directory = ctx.scratch / "vm"
        directory.mkdir(mode=0o700)
        await clone_sparse(ctx.path(ctx.value(self.root)), directory / _ROOT_FILE)
        (directory / _ROOT_FILE).chmod(0o600)
        create_empty(directory / WORK_FILE, STAND_IN_BYTES)
        try:
            await self._install(ctx, directory)
        except BangerError as error:
            raise HostError(
                f"SSH could not be installed in {self.image.value}: {error.message}",
                hint=f"banger vm run --image {self.image.value} -- COMMAND, which needs none",
            ) from error
        await repair(directory / _ROOT_FILE)
        return await anyio.to_thread.run_sync(ctx.keep, directory / _ROOT_FILE)

    async def _install(self, ctx: Context, directory: Path) -> None:
        """Run the builder VM from its start to its end. Raises GuestError if it does not do what it is for."""
        process = await Qemu.installed().launch(
            self._machine(ctx, directory), deadline_s=_LAUNCH_DEADLINE_S, ends_with_us=True
        )
        try:
            failure = await while_alive(process, lambda: self._converse(ctx, directory), directory)
            if failure is not None:
                raise GuestError(failure)
            await _wait_until_off(process)
        finally:
            await kill(process)

    async def _converse(self, ctx: Context, directory: Path) -> str | None:
        """Have the guest install it and power off; or return what went wrong."""
        env = {SOURCES_VARIABLE: await anyio.to_thread.run_sync(sources_here, self.suite)}
        request = ExecRequest(("/bin/sh", "-c", script_of(self.family)), env, cwd="/")
        text, lines = b"", 0
        async with await AgentChannel.connect(directory / AGENT_SOCKET, deadline_s=_BOOT_DEADLINE_S) as agent:
            await agent.wait_network(deadline_s=_BOOT_DEADLINE_S)
            async with await agent.exec(request) as session:
                await session.send_eof()
                while not isinstance(happening := await session.receive(), Exit):
                    if isinstance(happening, Output):
                        lines += happening.data.count(b"\n")
                        text = (text + happening.data)[-_KEPT_BYTES:]
                        ctx.report(Progress(lines, None, unit="items", text=f"lines: {_last_line(text)}"))
            if happening.status:
                return f"the installation ended with status {happening.status}; the last that it wrote:\n{_tail(text)}"
            await agent.shutdown()
        return None

    def _machine(self, ctx: Context, directory: Path) -> Machine:
        vmm = ctx.value(self.vmm)
        return Machine(
            vm_id=f"builder-{ctx.scratch.name}",
            vm_dir=directory,
            vcpus=min(2, os.cpu_count() or 1),
            memory_mib=_MEMORY_MIB,
            accelerator=Accelerator(vmm.accelerator),
            kernel=ctx.path(ctx.value(self.kernel).bzimage),
            initramfs=ctx.path(ctx.value(self.initramfs)),
            parameters=TEMPLATE_PARAMETERS,
            disks=(
                Disk(_ROOT_FILE, ROOT_SERIAL, DiskFormat.RAW, ctx.value(self.root).size),
                Disk(WORK_FILE, WORK_SERIAL, DiskFormat.RAW, STAND_IN_BYTES),
            ),
            network=UserNetwork(free_port(), TEMPLATE_MAC),
            tsc_khz=vmm.tsc_khz,
        )


async def _wait_until_off(process: ProcessIdentity) -> None:
    with open_process(process) as held:
        if held is not None and not await held.wait(_OFF_DEADLINE_S):
            raise GuestError(f"the guest did not power off within {_OFF_DEADLINE_S:g} s")


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").replace("\r", "\n").split("\n")
    return _printable(next((line for line in reversed(lines[:-1]) if line.strip()), ""))[:_SHOWN_CHARACTERS]


def _tail(text: bytes) -> str:
    return "\n".join(_printable(line) for line in text.decode(errors="replace").splitlines()[-_SHOWN_LINES:])


def _printable(line: str) -> str:
    return "".join(char for char in line if char.isprintable())
