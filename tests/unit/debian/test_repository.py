"""The throw-away repository: what its index says, and what of a system's dpkg status is believed."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from banger.debian.deb822 import paragraphs
from banger.debian.repository import read_installed, write_repository
from banger.debian.values import Lock, PackagePin
from banger.model.errors import HostError
from tests.unit.debian.packages import deb, tar

STATUS = "Package: toy\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n"


@pytest.fixture
def toy(tmp_path: Path) -> tuple[Path, PackagePin]:
    content = deb({"./usr/bin/toy": b"toy"})
    path = tmp_path / "toy"
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return path, PackagePin("toy", "1.0", "all", "pool/t/toy.deb", len(content), sha256, security=False)


def test_the_index_has_the_control_fields_and_the_pinned_digest(toy: tuple[Path, PackagePin], tmp_path: Path) -> None:
    path, pin = toy
    (tmp_path / "repo").mkdir()
    write_repository({"toy": path}, Lock("bookworm", "amd64", (pin,), ()), tmp_path / "repo")
    (entry,) = paragraphs((tmp_path / "repo/Packages").read_text())
    assert entry["description"] == "a toy\nof two lines"
    assert (entry["filename"], entry["size"], entry["sha256"]) == (f"./{pin.sha256}.deb", str(pin.size), pin.sha256)
    assert (tmp_path / "repo" / entry["filename"]).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("change", [{"version": "2.0"}, {"architecture": "amd64"}])
def test_a_file_that_is_another_package_is_refused(
    toy: tuple[Path, PackagePin], tmp_path: Path, change: dict[str, str]
) -> None:
    path, pin = toy
    lock = Lock("bookworm", "amd64", (msgspec.structs.replace(pin, **change),), ())
    with pytest.raises(HostError, match=r"toy: toy says that it is toy 1\.0 all"):
        write_repository({"toy": path}, lock, tmp_path)


def test_a_file_that_was_not_given_is_named(toy: tuple[Path, PackagePin], tmp_path: Path) -> None:
    with pytest.raises(HostError, match="toy: its file was not given"):
        write_repository({}, Lock("bookworm", "amd64", (toy[1],), ()), tmp_path)


def test_what_dpkg_has_set_up_is_read(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(tar({"./etc/x": b"", "./var/lib/dpkg/status": STATUS.encode()}))
    assert read_installed(tmp_path / "root.tar") == {("toy", "1.0", "all")}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"./etc/x": b""}, "has no var/lib/dpkg/status"),
        ({"./var/lib/dpkg/status": STATUS.replace("ok installed", "ok half-configured").encode()}, "dpkg left it as"),
        ({"./var/lib/dpkg/status": b"Package: toy\n"}, "malformed"),
    ],
)
def test_a_system_that_is_not_set_up_is_refused(tmp_path: Path, files: dict[str, bytes], reason: str) -> None:
    (tmp_path / "root.tar").write_bytes(tar(files))
    with pytest.raises(HostError, match=reason):
        read_installed(tmp_path / "root.tar")
