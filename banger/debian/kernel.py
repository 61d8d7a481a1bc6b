"""Take a kernel out of its package: the bzImage, and its modules as one tar."""

import re
import shutil
import tarfile
from pathlib import Path

from banger.debian.package import open_data
from banger.model.errors import HostError

_IMAGE = re.compile(r"boot/vmlinu[xz]-([A-Za-z0-9][A-Za-z0-9.+~_-]{0,63})\Z")
_KERNEL_LIMIT_BYTES = 2 * 1024**3
_MODULES = re.compile(r"(?:usr/)?(lib/modules/.+)\Z")


def extract_kernel(package: Path, image: Path, modules: Path) -> str:
    """Write the kernel to `image` and lib/modules/RELEASE to the tar `modules`; return the release.

    The tar has regular files only, sorted as the package has them, owned by root, with the package's dates: the same
    package gives the same bytes. Blocks for some seconds. Raises HostError if it is no kernel package.
    """
    release = ""
    with (
        open_data(package, _KERNEL_LIMIT_BYTES) as source,
        tarfile.open(modules, "w:", format=tarfile.PAX_FORMAT) as out,
    ):
        for member in source:
            name = member.name.removeprefix("./").removeprefix("/")
            if not member.isreg():
                continue
            content = source.extractfile(member)
            assert content is not None, f"{name} is not a regular file"
            if match := _IMAGE.match(name):
                release = match[1]
                with image.open("wb") as file:
                    shutil.copyfileobj(content, file)
            elif kept := _MODULES.match(name):
                out.addfile(_member(kept[1], member), content)
    if not release:
        raise HostError(f"{package.name}: has no kernel below boot/")
    return release


def _member(name: str, original: tarfile.TarInfo) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = original.size, int(original.mtime), 0o644
    return member
