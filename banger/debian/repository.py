"""A throw-away apt repository of pinned packages, and what dpkg installed from it."""

import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from banger.debian.deb822 import MalformedError, Paragraph, paragraphs
from banger.debian.package import control
from banger.debian.values import Lock, PackagePin
from banger.model.errors import HostError

# Fields of control(5) come first; these of the index (DebianRepository/Format, "Packages" indices) follow.
_INDEX_FIELDS = frozenset({"filename", "size", "sha256", "md5sum", "sha1"})
_STATUS = "var/lib/dpkg/status"


def write_repository(debs: Mapping[str, Path], lock: Lock, folder: Path) -> None:
    """Fill `folder` with the files and a Packages index. Raises HostError if a file is not the package of its pin."""
    entries = []
    for pin in lock.packages:
        source = debs.get(pin.name)
        if source is None:
            raise HostError(f"package {pin.name}: its file was not given")
        fields = _checked_control(pin, source)
        _place(source, folder / f"{pin.sha256}.deb")
        entries.append(_entry(fields, pin))
    (folder / "Packages").write_text("\n".join(entries), encoding="utf-8", errors="surrogateescape")


def _checked_control(pin: PackagePin, path: Path) -> Paragraph:
    fields = control(path)
    found = fields.get("package"), fields.get("version"), fields.get("architecture")
    if found != (pin.name, pin.version, pin.architecture):
        raise HostError(f"package {pin.name}: {path.name} says that it is {' '.join(map(str, found))}")
    return fields


def _place(source: Path, dest: Path) -> None:
    try:
        os.link(source, dest)
    except OSError:
        shutil.copyfile(source, dest)


def _entry(fields: Paragraph, pin: PackagePin) -> str:
    index = {"Filename": f"./{pin.sha256}.deb", "Size": str(pin.size), "SHA256": pin.sha256}
    kept = {name.title(): value for name, value in fields.items() if name not in _INDEX_FIELDS}
    lines = [f"{name}: {value.replace(chr(10), chr(10) + ' ')}" for name, value in (kept | index).items()]
    return "\n".join(lines) + "\n"


def read_installed(tar: Path) -> set[tuple[str, str, str]]:
    """Return name, version and architecture of what dpkg has set up in a root filesystem's tar. Raises HostError."""
    with tarfile.open(tar, "r:") as archive:
        for member in archive:
            if member.name.removeprefix("./") == _STATUS:
                file = archive.extractfile(member)
                assert file is not None, f"{_STATUS} is not a regular file"
                return _installed(file.read().decode(errors="surrogateescape"))
    raise HostError(f"{tar.name}: has no {_STATUS}")


def _installed(status: str) -> set[tuple[str, str, str]]:
    found = set()
    try:
        for fields in paragraphs(status):
            if fields["status"] != "install ok installed":
                raise HostError(f"package {fields['package']}: dpkg left it as {fields['status']!r}")
            found.add((fields["package"], fields["version"], fields["architecture"]))
    except (MalformedError, KeyError) as error:
        raise HostError(f"{_STATUS}: malformed: {error}") from error
    return found
