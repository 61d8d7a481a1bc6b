"""A set-up: a command that prepares the disks of VMs once, and the node that keeps what it made."""

from dataclasses import dataclass

from banger.model.handles import FrozenDisks, LockFile
from banger.model.vm import GIB, Sizes
from banger.plan import Plan
from banger.plan.image import Image
from banger.plan.machine import Ground
from banger.tasks import Ref
from banger.tasks.vm_setup import VmSetup

WORK_BYTES = 8 * GIB
"""The work disk on which a set-up runs, unless the user's is smaller: a disk can grow later."""
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to run, on which files. `locks` None: there is no checkout. `origin` says who asked, and is no input."""

    command: str
    locks: tuple[LockFile, ...] | None
    origin: str = ""

    @property
    def label(self) -> str:
        """The command and its files, for people."""
        shown = self.command if len(self.command) <= _SHOWN else f"{self.command[:_SHOWN]}…"
        line = "".join(character if character.isprintable() else " " for character in shown)
        files = ", ".join(lock.path for lock in self.locks or ()) or "no files"
        return f"{line} [{files}]"


def add_setup(plan: Plan, ground: Ground, image: Image, sizes: Sizes, setup: Setup) -> Ref[FrozenDisks]:
    """Add the node."""
    task = VmSetup(
        command=setup.command,
        locks=setup.locks,
        vcpus=sizes.vcpus,
        memory_mib=sizes.memory_mib,
        work_bytes=min(WORK_BYTES, sizes.disk_bytes),
        vmm=ground.vmm,
        kernel=ground.kernel,
        initramfs=ground.initramfs,
        image=image.rootfs,
        seed=image.seed,
    )
    return plan.add(task, label=setup.label)
