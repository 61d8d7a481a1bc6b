"""The nodes that make an image's two disks, from the packages up."""

from dataclasses import dataclass

from banger.model.errors import NotFoundError
from banger.model.handles import File
from banger.model.vm import DEFAULT_IMAGE
from banger.plan import Plan
from banger.tasks import Ref
from banger.tasks.image_bootstrap import BootstrapImage
from banger.tasks.image_packages import FetchPackages
from banger.tasks.image_resolve import ResolveImage
from banger.tasks.image_rootfs import BuildRootfs
from banger.tasks.image_work_seed import BuildWorkSeed


@dataclass(frozen=True, slots=True)
class Image:
    """The root disk that VMs share, and what their work disks begin as."""

    rootfs: Ref[File]
    seed: Ref[File]


def add_image(plan: Plan, image: str) -> Image:
    """Add an image. Raises NotFoundError for one that nobody knows."""
    if image != DEFAULT_IMAGE:
        raise NotFoundError(f"there is no image called {image[:80]!r}", hint=f"banger vm run --image {DEFAULT_IMAGE}")
    pinned = plan.add(ResolveImage(), label=image)
    packages = plan.add(FetchPackages(pinned=pinned))
    tar = plan.add(BootstrapImage(pinned=pinned, packages=packages))
    return Image(rootfs=plan.add(BuildRootfs(tar=tar)), seed=plan.add(BuildWorkSeed(tar=tar)))
