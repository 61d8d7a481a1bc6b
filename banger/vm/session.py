"""What every machine of banger is made of, booted or restored; and how one is stopped."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from banger.host.pidfd import ProcessIdentity
from banger.model.errors import HostError
from banger.model.handles import UserNet
from banger.vm import USER_NETWORK, Accelerator, Disk, DiskFormat, Machine, TapNetwork, UserNetwork
from banger.vm.disks import overlay_size
from banger.vm.qemu import Qemu
from banger.vm.stop import AGENT_DEADLINE_S, POWER_BUTTON_DEADLINE_S, QUIT_DEADLINE_S, Rung, StoppedBy, kill, stop

ROOT_FILE = "root.qcow2"
WORK_FILE = "work.raw"
ROOT_SERIAL = "root"
WORK_SERIAL = "work"
_DISK_PARAMETERS = (f"banger.root={ROOT_SERIAL}", f"banger.work={WORK_SERIAL}")
BOOT_PARAMETERS = (*_DISK_PARAMETERS, f"banger.net={USER_NETWORK}")
TEMPLATE_PARAMETERS = (f"banger.root={ROOT_SERIAL}", f"banger.work_later={WORK_SERIAL}", f"banger.net={USER_NETWORK}")
STAND_IN_BYTES = 1024 * 1024
"""The work disk of a template: smaller than any VM's, so that a guest that missed the change would not mount it."""
TEMPLATE_MAC = "02:00:00:00:00:01"
_ANY_PORT = 1
NO_HOST = Path("/")


def template_machine(  # noqa: PLR0913 - a machine has as many parts
    vm_dir: Path,
    *,
    vcpus: int,
    memory_mib: int,
    accelerator: Accelerator,
    vm_id: str = "template",
    kernel: Path = NO_HOST,
    initramfs: Path = NO_HOST,
    root_bytes: int = STAND_IN_BYTES,
    work_bytes: int = STAND_IN_BYTES,
    network: UserNetwork | TapNetwork | None = None,
    tsc_khz: int | None = None,
) -> Machine:
    """Return a machine as templates and their clones are: they differ in values only, never in a device."""
    return Machine(
        vm_id=vm_id,
        vm_dir=vm_dir,
        vcpus=vcpus,
        memory_mib=memory_mib,
        accelerator=accelerator,
        kernel=kernel,
        initramfs=initramfs,
        parameters=TEMPLATE_PARAMETERS,
        disks=(
            Disk(ROOT_FILE, ROOT_SERIAL, DiskFormat.QCOW2, root_bytes),
            Disk(WORK_FILE, WORK_SERIAL, DiskFormat.RAW, work_bytes),
        ),
        network=network or UserNetwork(_ANY_PORT, TEMPLATE_MAC),
        tsc_khz=tsc_khz,
    )


def network_of(net: UserNet) -> UserNetwork | TapNetwork:
    """Return the other end of a VM's card."""
    return TapNetwork(net.tap, net.mac) if net.tap else UserNetwork(net.ssh_port, net.mac, net.restricted)


def boot_parameters(net: UserNet) -> tuple[str, ...]:
    """Return what the init of a guest that boots is told: its disks, and its addresses."""
    addresses = USER_NETWORK
    if net.tap:
        addresses = f"{net.address}/{net.prefix},{net.gateway}"
        addresses += f",{net.name_server}" if net.name_server else ""
    return (*_DISK_PARAMETERS, f"banger.net={addresses}")


def disk_sizes(vm_dir: Path) -> tuple[int, int]:
    """Return the sizes in bytes of a VM's root and work disk: disks outlive what made them. Raises HostError."""
    root, work = vm_dir / ROOT_FILE, vm_dir / WORK_FILE
    for disk in (root, work):
        if not disk.is_file():
            raise HostError(f"the VM's disk {disk} is missing", hint="banger vm delete <vm>")
    return overlay_size(root), os.stat(work).st_size  # noqa: PTH116 - likewise


async def kill_all(vm_id: str) -> None:
    """See to it that no process of a machine is left."""
    for process in Qemu.installed().find(vm_id):
        await kill(process)


async def stop_gently(process: ProcessIdentity, vm_dir: Path, ask_the_agent: Callable[[], Awaitable[object]]) -> None:
    """Have the guest power off: its agent, then its power button; if it does not, end its VMM.

    Raises HostError if the process cannot be ended. A guest can delay this by 25 s, and not prevent it.
    """

    async def press_the_button() -> None:
        await Qemu.installed().press_power_button(vm_dir)

    async def quit_the_vmm() -> None:
        await Qemu.installed().quit(vm_dir)

    ladder = [
        Rung(StoppedBy.AGENT, ask_the_agent, AGENT_DEADLINE_S),
        Rung(StoppedBy.POWER_BUTTON, press_the_button, POWER_BUTTON_DEADLINE_S),
        Rung(StoppedBy.QUIT, quit_the_vmm, QUIT_DEADLINE_S),
    ]
    await stop(process, ladder)
