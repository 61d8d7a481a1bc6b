"""A template: a VM of some shape and image, booted and frozen before anybody asks for it."""

from banger.model.handles import File, FrozenVm
from banger.model.vm import Sizes
from banger.plan import Plan
from banger.plan.image import add_image
from banger.plan.machine import Ground, HostFacts, add_ground
from banger.tasks import Ref
from banger.tasks.vm_template import VmTemplate
from banger.vm.qemu import Qemu
from banger.vm.qemu_template import QemuTemplates
from banger.vm.template import FORMAT

TEMPLATE_NODE = VmTemplate.kind


def plan_template(image: str, sizes: Sizes, *, host: HostFacts) -> Plan:
    """Plan the template of a VM. Its disk's size does not matter. Raises NotFoundError for an image nobody knows."""
    plan = Plan("vm.template")
    ground = add_ground(plan, host)
    add_template(plan, ground, add_image(plan, host.images.find(image)).rootfs, image, sizes)
    return plan


def add_template(plan: Plan, ground: Ground, rootfs: Ref[File], image: str, sizes: Sizes) -> Ref[FrozenVm]:
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
    )
    return plan.add(task, label=f"{image}, {sizes.vcpus} vcpu, {sizes.memory_mib} MiB")
