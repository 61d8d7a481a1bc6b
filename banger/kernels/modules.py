"""Kernel modules on their way in: from a directory or an initrd to one tar, always the same from the same files."""

import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from banger.guest.elf import MODULE_LARGEST_BYTES, module_info, module_name
from banger.guest.initramfs import collect_modules
from banger.guest.moduletar import ModuleTar
from banger.kernels.needs import NEEDS
from banger.model.errors import NotFoundError, SpecError

FILES_LIMIT: Final = 20_000
TOTAL_LIMIT_BYTES: Final = 2 * 1024**3
_WALK_LIMIT: Final = 100_000
_LIST: Final = "modules.builtin"
_BELOW_RELEASE: Final = re.compile(r"(?:usr/)?lib/modules/[^/]+/(.+)\Z")
_MODULE: Final = re.compile(r"[A-Za-z0-9_.,+-]+\.ko(\.xz|\.zst|\.gz)?\Z")

Members = Iterable[tuple[str, bytes]]
"""Paths below lib/modules/RELEASE, or with that before them, and contents."""


def modules_below(directory: Path) -> Iterator[tuple[str, bytes]]:
    """The modules of a directory lib/modules/RELEASE, or of the one that it has below, sorted. Links are not followed.

    Raises SpecError if there are none, or several releases of them.
    """
    root = _root(directory)
    found = sorted(_walk(root))
    if not any(_MODULE.match(path.name) or path.name == _LIST for path in found):
        raise SpecError(f"{directory}: there are no kernel modules in it", hint="--modules /lib/modules/RELEASE")
    if len(found) > FILES_LIMIT:
        raise SpecError(f"{directory}: more than {FILES_LIMIT} files")
    for path in found:
        if _MODULE.match(path.name) or path.name == _LIST:
            yield path.relative_to(root).as_posix(), _read(path)


def _root(directory: Path) -> Path:
    for place in (directory, directory / "usr"):
        releases = sorted((place / "lib" / "modules").glob("*"))
        if len(releases) > 1:
            names = ", ".join(path.name for path in releases[:5])
            raise SpecError(f"{directory}: modules of several kernels ({names})", hint="name one of the directories")
        if releases:
            return releases[0]
    return directory


def _walk(root: Path) -> Iterator[Path]:
    """Every regular file. What cannot be read is left out; a tree that has no end is not walked to it."""
    seen = 0
    for place, _directories, names in os.walk(root):
        seen += len(names) + 1
        if seen > _WALK_LIMIT:
            raise SpecError(f"{root}: more than {_WALK_LIMIT} files: no directory of kernel modules")
        for name in names:
            path = Path(place, name)
            if not path.is_symlink() and path.is_file():
                yield path


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        data = file.read(MODULE_LARGEST_BYTES + 1)
    if len(data) > MODULE_LARGEST_BYTES:
        raise SpecError(f"{path}: larger than {MODULE_LARGEST_BYTES} bytes")
    return data


def modules_in_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    """Members of a tar that `write_tar` wrote."""
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                yield member.name, content.read()


def write_tar(out: Path, release: str, members: Members, built: Iterable[str] = ()) -> set[str]:
    """Write lib/modules/RELEASE with these members, the first of each name; return the names of the modules.

    `built`: options that the kernel has built in; modules.builtin says so of their modules from then on.
    """
    seen: set[str] = set()
    lines: set[str] = set()
    total = 0
    with tarfile.open(out, "w:", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            match = _BELOW_RELEASE.match(name)
            below = match[1] if match else name
            if below.rpartition("/")[2] == _LIST:
                lines.update(content.decode("utf-8", "replace").splitlines())
                continue
            module = module_name(below.rpartition("/")[2])
            total += len(content)
            if total > TOTAL_LIMIT_BYTES or len(seen) > FILES_LIMIT:
                raise SpecError(f"more than {FILES_LIMIT} modules, or {TOTAL_LIMIT_BYTES} bytes of them")
            if module not in seen and ".." not in below.split("/"):
                seen.add(module)
                _add(tar, f"lib/modules/{release}/{below}", content)
        lines.update(f"kernel/{need.module}.ko" for need in NEEDS if need.module and need.option in set(built))
        _add(tar, f"lib/modules/{release}/{_LIST}", "".join(f"{line}\n" for line in sorted(lines)).encode())
    return seen


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def builtin_names(members: Members) -> set[str]:
    """The modules that modules.builtin lists, if it is among the members."""
    return {
        module_name(line.rpartition("/")[2])
        for name, content in members
        if name.rpartition("/")[2] == _LIST
        for line in content.decode("utf-8", "replace").splitlines()
    }


def check_loadable(tar: Path, release: str, what: str) -> None:
    """Raise SpecError unless an initramfs can be made of the modules, and they were built for this kernel."""
    try:
        with ModuleTar(tar) as source:
            modules = collect_modules(source)
    except NotFoundError as error:
        raise SpecError(f"{what}: {error.message}") from error
    for module in modules:
        built_for = module_info(module.elf, module.name).vermagic.partition(" ")[0]
        if built_for and built_for != release:
            raise SpecError(f"{what}: the kernel is {release}, its module {module.name} was built for {built_for}")
