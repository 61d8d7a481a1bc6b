"""A template: a VM of some shape and image, booted and frozen before anybody asks for it."""

from banger.model.handles import File, FrozenDisks, FrozenVm
from banger.model.vm import Sizes
from banger.plan import Plan
from banger.plan.image import add_image
from banger.plan.machine import Ground, HostFacts, add_ground
from banger.plan.setup import Setup, add_setup
from banger.tasks import Ref
from banger.tasks.vm_template import VmTemplate
from banger.vm.qemu import Qemu
from banger.vm.qemu_template import QemuTemplates
from banger.vm.template import FORMAT

TEMPLATE_NODE = VmTemplate.kind


def plan_template(image: str, sizes: Sizes, *, host: HostFacts, setup: Setup | None = None) -> Plan:
    """Plan the template of a VM, with its set-up's disks if it has one. Raises NotFoundError for an unknown image.

    The size of its work disk does not matter, but as far as it is too small for what set-ups are made on.
    """
    plan = Plan("vm.template")
    ground = add_ground(plan, host)
    made = add_image(plan, host.images.find(image))
    disks = add_setup(plan, ground, made, sizes, setup) if setup else None
    add_template(plan, ground, made.rootfs, image, sizes, disks)
    return plan


def add_template(
    plan: Plan,
    ground: Ground,
    rootfs: Ref[File],
    image: str,
    sizes: Sizes,
    setup: Ref[FrozenDisks] | None = None,
) -> Ref[FrozenVm]:
    """Add the template to a plan."""
    lines = QemuTemplates(Qemu.installed()).command_lines(vcpus=sizes.vcpus, memory_mib=sizes.memory_mib)
    task = VmTemplate(
        vcpus=sizes.vcpus,
        memory_mib=sizes.memory_mib,
        format=FORMAT,
        command_lines=lines,
        vmm=ground.vmm,
        kernel=ground.kernel,
        initramfs=ground.initramfs,
        image=rootfs,
        setup=setup,
    )
    return plan.add(task, label=f"{image}, {sizes.vcpus} vcpu, {sizes.memory_mib} MiB")
