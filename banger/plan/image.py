"""The nodes that make an image's two disks: from packages, from the layers of a container image, or there already."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from banger.debian.recipe import PACKAGES
from banger.model.errors import NotFoundError
from banger.model.handles import File, ImageDisks, PulledImage
from banger.model.vm import DEFAULT_IMAGE
from banger.plan import Plan
from banger.tasks import Aside, Ref
from banger.tasks.image_bootstrap import BootstrapImage
from banger.tasks.image_disk import TakeDisk
from banger.tasks.image_empty_work import BuildEmptyWork
from banger.tasks.image_find import FindImage
from banger.tasks.image_flatten import FlattenImage
from banger.tasks.image_import import ImportDisk
from banger.tasks.image_layer import FetchLayer
from banger.tasks.image_manifest import ReadManifest
from banger.tasks.image_packages import FetchPackages
from banger.tasks.image_resolve import ResolveImage
from banger.tasks.image_rootfs import BuildRootfs
from banger.tasks.image_stored import UseStored
from banger.tasks.image_work_seed import BuildWorkSeed

MANIFEST_NODE = ReadManifest.kind
DISKS_NODE = FlattenImage.kind


@dataclass(frozen=True, slots=True)
class Image:
    """The root disk that VMs share, and what their work disks begin as."""

    rootfs: Ref[File]
    seed: Ref[File]


@dataclass(frozen=True, slots=True)
class OwnImage:
    """An image that banger makes itself, of Debian's packages."""

    name: str
    packages: tuple[str, ...] = PACKAGES


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image whose disks are in the cache."""

    name: str
    disks: ImageDisks


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """A container image, as the user named it; `pulled` None: nobody has asked yet what that means now."""

    name: str
    source: str
    pulled: PulledImage | None = None


@dataclass(frozen=True, slots=True)
class RegisteredImage:
    """An image of the user's own files; `seed` None: work disks begin empty."""

    name: str
    rootfs: str
    seed: str | None


ImageSpec: TypeAlias = OwnImage | StoredImage | ContainerImage | RegisteredImage


class ImageBook(Protocol):
    """Who knows what a user means by an image."""

    def find(self, text: str) -> ImageSpec:
        """What is known of it, without asking anybody. Raises SpecError for what no image could be called."""
        ...


class OwnImages:
    """Knows banger's own images and no others."""

    def find(self, text: str) -> ImageSpec:
        """Raises NotFoundError for any other."""
        if text != DEFAULT_IMAGE:
            raise NotFoundError(
                f"there is no image called {text[:80]!r}", hint=f"banger vm run --image {DEFAULT_IMAGE}"
            )
        return OwnImage(text)


def add_image(plan: Plan, image: ImageSpec) -> Image:
    """Add an image."""
    match image:
        case OwnImage():
            return _add_own(plan, image)
        case StoredImage():
            return _add_stored(plan, image)
        case RegisteredImage():
            return _add_registered(plan, image)
        case ContainerImage():
            disks = add_disks(plan, image)
            return Image(
                rootfs=plan.add(TakeDisk(disks=disks, which="root"), node="image.disk.root"),
                seed=plan.add(TakeDisk(disks=disks, which="work"), node="image.disk.work"),
            )


def add_disks(plan: Plan, image: ContainerImage) -> Ref[ImageDisks]:
    """Add the layers of a container image, and the disks that are made of them."""
    if image.pulled is None:
        return plan.add(FlattenImage(unknown=add_find(plan, image)), label=image.name)
    where = Aside(image.source)
    layers = {layer.digest: layer for layer in image.pulled.layers}
    refs = {
        digest: plan.add(
            FetchLayer(digest=digest, size=layer.size, source=where),
            node=f"{FetchLayer.kind}.{number}",
            label=f"{digest.removeprefix('sha256:')[:12]} of {image.name}",
        )
        for number, (digest, layer) in enumerate(layers.items(), 1)
    }
    flatten = FlattenImage(
        layers=tuple(refs[layer.digest] for layer in image.pulled.layers),
        compressions=tuple(layer.compression for layer in image.pulled.layers),
        diff_ids=tuple(layer.diff_id for layer in image.pulled.layers),
    )
    return plan.add(flatten, label=image.name)


def add_find(plan: Plan, image: ContainerImage) -> Ref[PulledImage]:
    """Add the question what a container image is now."""
    digest = plan.add(FindImage(source=image.source), label=image.source)
    return plan.add(ReadManifest(digest=digest, source=Aside(image.source)), label=image.source)


def _add_stored(plan: Plan, image: StoredImage) -> Image:
    def add(which: str, file: File) -> Ref[File]:
        return plan.add(
            UseStored(digest=file.digest, size=file.size), node=f"{UseStored.kind}.{which}", label=image.name
        )

    return Image(rootfs=add("root", image.disks.rootfs), seed=add("work", image.disks.seed))


def _add_registered(plan: Plan, image: RegisteredImage) -> Image:
    def add(which: str, path: str) -> Ref[File]:
        return plan.add(
            ImportDisk(path=path, stamp=stamp_of(path)), node=f"{ImportDisk.kind}.{which}", label=image.name
        )

    seed = plan.add(BuildEmptyWork(), label=image.name) if image.seed is None else add("work", image.seed)
    return Image(rootfs=add("root", image.rootfs), seed=seed)


def stamp_of(path: str) -> str:
    """What tells a file from others and from itself before a change; empty for one that is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"


def _add_own(plan: Plan, image: OwnImage) -> Image:
    pinned = plan.add(ResolveImage(packages=image.packages), label=image.name)
    packages = plan.add(FetchPackages(pinned=pinned))
    tar = plan.add(BootstrapImage(pinned=pinned, packages=packages))
    return Image(rootfs=plan.add(BuildRootfs(tar=tar)), seed=plan.add(BuildWorkSeed(tar=tar)))
