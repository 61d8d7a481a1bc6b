"""Kernels as users meet them: names, and what is shown of each.

Standard-library dataclasses, like banger.model.vm: the command line reads them and must start before anyone notices.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from banger.model.errors import SpecError

KERNEL_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?\Z")
DEFAULT_KERNEL = "debian-cloud"
"""What boots where neither the user nor the image names a kernel."""


@dataclass(frozen=True, slots=True)
class KernelView:
    """A kernel. `here`: it is in the cache, whole; `kept`: it was pulled or imported, so that no prune takes it.

    `release` is what `uname -r` says in a VM, once that is known, and the catalog's word before. `size_bytes`: what it
    takes here, or what is to be fetched; None if nobody knows yet. `used_by`: names of VMs.
    """

    name: str
    release: str
    architecture: str
    source: str
    origin: Literal["catalog", "imported"]
    here: bool
    kept: bool
    size_bytes: int | None = None
    description: str = ""
    used_by: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """A kernel on the user's disk, to be called `name`. Every path is absolute.

    `modules`: a directory lib/modules/RELEASE, or one that has it below; `initrd`: an archive with modules in it.
    """

    name: str
    image: str
    modules: str | None = None
    initrd: str | None = None


def check_kernel_name(name: str) -> str:
    """Return the name if a kernel can have it. Raises SpecError."""
    if not KERNEL_NAME.match(name):
        raise SpecError(
            f"{name[:80]!r} cannot be a kernel's name: use 1 to 63 of a-z, 0-9, '.', '_' and '-', "
            "starting and ending with a letter or digit"
        )
    return name
