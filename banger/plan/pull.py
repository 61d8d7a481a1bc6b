"""What comes before a VM can be planned: what an image is now, its disks, and SSH where there is none."""

from banger.model.handles import ImageDisks
from banger.plan import Plan
from banger.plan.image import ContainerImage, Image, OwnImage, add_disks, add_find, add_image
from banger.plan.machine import HostFacts, add_ground
from banger.tasks import Aside
from banger.tasks.image_bundle import FetchBundle
from banger.tasks.image_provision import ProvisionImage
from banger.tasks.image_stored import UseStored

PROVISION_NODE = ProvisionImage.kind
BUNDLE_NODE = FetchBundle.kind


def plan_find(image: ContainerImage) -> Plan:
    """Plan to ask what a container image is now: its layers have to be known before they can be nodes."""
    plan = Plan("image.find")
    add_find(plan, image)
    return plan


def plan_pull(image: ContainerImage, host: HostFacts | None = None) -> Plan:
    """Plan to have the disks of a container image whose layers are known; with `host` also what any boot needs."""
    plan = Plan("image.pull")
    add_disks(plan, image)
    if host is not None:
        add_ground(plan, host)
    return plan


def plan_bundle(name: str, digest: str, size: int) -> Plan:
    """Plan to fetch an image of a catalog."""
    plan = Plan("image.bundle")
    plan.add(FetchBundle(digest=digest, size=size), label=name)
    return plan


def plan_own(image: OwnImage, host: HostFacts | None = None) -> tuple[Plan, Image]:
    """Plan to make an image of packages; with `host` also what any boot needs. The second part: its disks."""
    plan = Plan("image.pull")
    disks = add_image(plan, image)
    if host is not None:
        add_ground(plan, host)
    return plan, disks


def plan_provision(name: str, disks: ImageDisks, family: str, host: HostFacts) -> Plan:
    """Plan to install SSH in an image that has none."""
    plan = Plan("image.provision")
    ground = add_ground(plan, host)
    root = plan.add(
        UseStored(digest=disks.rootfs.digest, size=disks.rootfs.size), node=f"{UseStored.kind}.root", label=name
    )
    is_debian = disks.facts.os_ids[:1] == ("debian",)
    plan.add(
        ProvisionImage(
            family=family,
            suite=disks.facts.codename if is_debian else "",
            image=Aside(name),
            vmm=ground.vmm,
            kernel=ground.kernel,
            initramfs=ground.initramfs,
            root=root,
        ),
        label=name,
    )
    return plan
