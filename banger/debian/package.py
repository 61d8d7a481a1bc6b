"""Read a .deb without dpkg: its control data, its build date and its file system tree.

Pure Python, so that what a package says never touches a path of this machine, and every size has a bound. Decompression
is the cost either way: 2 s for the cloud kernel. Format: deb(5); its container: ar(5), common variant.
"""

import gzip
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import zstandard

from banger.debian.deb822 import MalformedError, Paragraph, paragraphs
from banger.model.errors import HostError

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
_CONTROL_LIMIT_BYTES = 16 * 1024 * 1024
DATA_LIMIT_BYTES = 8 * 1024**3
_COPY_BYTES = 1024 * 1024
_MEMBERS = 3


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the ar container: where its content lies, in bytes, and its date in seconds since the epoch."""

    name: str
    offset: int
    size: int
    date: int


class Bounded:
    """A reader that ends with HostError after `limit_bytes`: a small file may decompress to any size."""

    def __init__(self, inner: IO[bytes], limit_bytes: int, what: str) -> None:
        self._inner = inner
        self._left = limit_bytes
        self._what = what

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes; -1 means all."""
        data = self._inner.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise HostError(f"{self._what}: decompresses to more than its limit")
        return data


def read_members(file: IO[bytes], name: str) -> dict[str, Member]:
    """List the members of a .deb. Raises HostError that names the file."""
    if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise HostError(f"{name}: not a Debian package: no ar magic")
    found: dict[str, Member] = {}
    offset = len(_AR_MAGIC)
    while len(found) < _MEMBERS + 5:  # deb(5): further members, if their names begin with `_`
        file.seek(offset)
        header = file.read(_AR_HEADER_BYTES)
        if not header:
            break
        member = _parse_header(header, offset, name)
        found[member.name] = member
        offset = member.offset + member.size + member.size % 2
    file.seek(0, 2)
    if any(member.offset + member.size > file.tell() for member in found.values()):
        raise HostError(f"{name}: a Debian package cut short")
    if "debian-binary" not in found:
        raise HostError(f"{name}: not a Debian package: no debian-binary")
    return found


def _parse_header(header: bytes, offset: int, name: str) -> Member:
    # ar(5): name 16, date 12, uid 6, gid 6, mode 8, size 10, magic 2; decimal, filled with spaces.
    digits = header[16:28].rstrip(b" "), header[48:58].rstrip(b" ")
    if len(header) < _AR_HEADER_BYTES or header[58:] != b"`\n" or not all(text.isdigit() for text in digits):
        raise HostError(f"{name}: a malformed ar header at byte {offset}")
    member = header[:16].rstrip(b" ").rstrip(b"/").decode("latin-1")
    return Member(member, offset + _AR_HEADER_BYTES, int(digits[1]), int(digits[0]))


def build_date(path: Path) -> int:
    """Return when a package was built, in seconds since the epoch: its maker's SOURCE_DATE_EPOCH (dpkg-deb(1))."""
    with path.open("rb") as file:
        return read_members(file, path.name)["debian-binary"].date


def control(path: Path) -> Paragraph:
    """Return the control fields of a package. Raises HostError."""
    with _open_tar(path, "control.tar", _CONTROL_LIMIT_BYTES) as tar:
        for member in tar:
            if member.name.removeprefix("./") == "control" and member.isreg():
                text = _content(tar, member).read().decode(errors="surrogateescape")
                try:
                    return next(paragraphs(text))
                except (StopIteration, MalformedError) as error:
                    raise HostError(f"{path.name}: its control file is malformed: {error}") from error
    raise HostError(f"{path.name}: has no control file")


@contextmanager
def open_data(path: Path, limit_bytes: int = DATA_LIMIT_BYTES) -> Iterator[tarfile.TarFile]:
    """Open the file system tree of a package as a tar stream: read each member before the next. Raises HostError."""
    with _open_tar(path, "data.tar", limit_bytes) as tar:
        yield tar


@contextmanager
def _open_tar(path: Path, stem: str, limit_bytes: int) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as file:
        members = read_members(file, path.name)
        member = next((each for each in members.values() if each.name.split(".")[:2] == stem.split(".")), None)
        if member is None:
            raise HostError(f"{path.name}: has no {stem}")
        file.seek(member.offset)
        section = cast("IO[bytes]", _Section(file, member.size))
        bounded = Bounded(_decompressed(section, member.name, path.name), limit_bytes, f"{path.name}: {member.name}")
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r|", bufsize=_COPY_BYTES) as tar:
                yield tar
        except (tarfile.TarError, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile, EOFError) as error:
            raise HostError(f"{path.name}: {member.name} is damaged: {error}") from error


class _Section:
    """The bytes of one member, and no more."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def _decompressed(section: IO[bytes], member: str, name: str) -> IO[bytes]:
    match member.rpartition(".")[2]:
        case "xz":
            return cast("IO[bytes]", lzma.LZMAFile(section))
        case "gz":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=section))
        case "zst":
            return cast("IO[bytes]", zstandard.ZstdDecompressor().stream_reader(section, read_across_frames=True))
        case "tar":
            return section
        case _:
            raise HostError(f"{name}: {member} has an unknown compression")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None, f"{member.name} is not a regular file"
    return file
