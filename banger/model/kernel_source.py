"""Where a kernel comes from: plain data in the catalog and in the database. The command line never needs it."""

import msgspec

from banger.model.digest import Digest
from banger.model.handles import File


class DebianKernel(msgspec.Struct, frozen=True, tag="debian", forbid_unknown_fields=True):
    """What a metapackage of Debian's signed archive stands for at the time, as `linux-image-cloud-amd64`."""

    package: str


class BundleKernel(msgspec.Struct, frozen=True, tag="bundle", forbid_unknown_fields=True):
    """A tarball with one kernel in it, to the byte; `size` in bytes. Where it can be had makes no difference to it."""

    sha256: str
    size: int

    @property
    def digest(self) -> Digest:
        """Its name in the CAS."""
        return Digest(f"sha256:{self.sha256}")


class ImportedKernel(msgspec.Struct, frozen=True, tag="imported", forbid_unknown_fields=True):
    """What the user gave, as it was: kernel image, tar of modules, initrd."""

    image: File
    modules: File | None = None
    initrd: File | None = None


KernelSource = DebianKernel | BundleKernel | ImportedKernel


class KernelChoice(msgspec.Struct, frozen=True):
    """A kernel by name, and where it comes from."""

    name: str
    source: KernelSource
