"""Kernel bundles: NAME-ARCH.tar.zst with `vmlinux`, and maybe `initrd.img` and `modules/`. Nothing else is in one.

`vmlinux` may be a bzImage or a bare vmlinux. A member becomes a path of this machine only by a name of ours.
"""

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

import zstandard

from banger.guest.elf import MODULE_LARGEST_BYTES
from banger.kernels.assemble import IMAGE_LARGEST_BYTES, assemble, modules_of_initrd
from banger.kernels.initrd import INITRD_LARGEST_BYTES
from banger.kernels.modules import FILES_LIMIT, TOTAL_LIMIT_BYTES, modules_in_tar, write_tar
from banger.model.errors import SpecError

IMAGE_MEMBER: Final = "vmlinux"
INITRD_MEMBER: Final = "initrd.img"
MODULES_MEMBER: Final = "modules/"
_WINDOW_BYTES: Final = 256 * 1024**2
_PADDING_BYTES: Final = 64 * 1024**2


def unpack_bundle(bundle: Path, scratch: Path, image: Path, modules: Path, what: str) -> str:
    """Write kernel image and tar of modules; return the release. Raises SpecError for what is no such bundle."""
    raw, initrd = scratch / "raw-modules.tar", scratch / "initrd.img"
    found: set[str] = set()
    try:
        with _open(bundle) as tar:
            write_tar(raw, "bundle", _members(tar, image, initrd, found, what))
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise SpecError(f"{what}: no kernel bundle: {error}") from error
    if IMAGE_MEMBER not in found:
        raise SpecError(f"{what}: a kernel bundle without {IMAGE_MEMBER}")
    sources = [lambda: modules_in_tar(raw)]
    if INITRD_MEMBER in found:
        sources.append(lambda: modules_of_initrd(initrd, what))
    return assemble(image, sources, modules, what)


@contextmanager
def _open(bundle: Path) -> Iterator[tarfile.TarFile]:
    limit = IMAGE_LARGEST_BYTES + INITRD_LARGEST_BYTES + TOTAL_LIMIT_BYTES + _PADDING_BYTES
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    with bundle.open("rb") as packed, decompressor.stream_reader(packed) as content:
        bounded = cast("IO[bytes]", _Bounded(content, limit))
        with tarfile.open(fileobj=bounded, mode="r|") as tar:
            yield tar


class _Bounded:
    """Ends with SpecError after so many bytes: a small file may decompress to any size."""

    def __init__(self, inner: "zstandard.ZstdDecompressionReader", limit_bytes: int) -> None:
        self._inner = inner
        self._left = limit_bytes

    def read(self, size: int) -> bytes:
        data = self._inner.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise SpecError("a kernel bundle that decompresses to more than its limit")
        return data


def _members(
    tar: tarfile.TarFile, image: Path, initrd: Path, found: set[str], what: str
) -> Iterator[tuple[str, bytes]]:
    """Write image and initrd to their places, and yield the modules."""
    places = {IMAGE_MEMBER: (image, IMAGE_LARGEST_BYTES), INITRD_MEMBER: (initrd, INITRD_LARGEST_BYTES)}
    for number, member in enumerate(tar):
        if number > FILES_LIMIT:
            raise SpecError(f"{what}: more than {FILES_LIMIT} members")
        name = member.name.removeprefix("./")
        if member.isdir():
            continue
        content = tar.extractfile(member) if member.isreg() else None
        if content is None or name in found:
            raise SpecError(f"{what}: {name[:120]!r} is no regular file, or is there twice")
        found.add(name)
        if name in places:
            dest, limit = places[name]
            _within(member, limit, what)
            with dest.open("xb") as file:
                shutil.copyfileobj(content, file)
        elif name.startswith(MODULES_MEMBER) and ".." not in name.split("/"):
            _within(member, MODULE_LARGEST_BYTES, what)
            below = name.removeprefix(MODULES_MEMBER)
            if ".ko" in below or below.endswith("modules.builtin"):
                yield below, content.read()
        else:
            raise SpecError(f"{what}: {name[:120]!r} has no place in a kernel bundle")


def _within(member: tarfile.TarInfo, limit: int, what: str) -> None:
    if member.size > limit:
        raise SpecError(f"{what}: {member.name[:120]!r} is larger than {limit} bytes")
