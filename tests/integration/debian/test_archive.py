"""Debian's real archive: pins that are the same twice, and files that are what was pinned."""

from pathlib import Path

import msgspec
import pytest

from banger.debian.fetch import fetch
from banger.debian.kernel import extract_kernel
from banger.debian.package import control
from banger.debian.resolve import resolve, resolve_kernel
from banger.debian.values import Archive
from banger.guest.moduletar import ModuleTar
from banger.model.errors import HostError, TransientError
from tests.integration.debian.conftest import Image

pytestmark = pytest.mark.network


async def test_two_resolutions_are_one_lock(archive: Archive, tmp_path: Path) -> None:
    first = await resolve(archive, ["make", "usr-is-merged"], tmp_path / "a")
    again = await resolve(archive, ["usr-is-merged", "make", "make"], tmp_path / "b")
    assert first == again
    assert first.digest() == again.digest()
    names = [pin.name for pin in first.packages]
    assert {"make", "apt", "libc6", "bash"} < set(names)
    assert names == sorted(names)
    assert not [name for name in names if "systemd-sysv" in name or name == "libpam-systemd"]
    assert {release.suite for release in first.releases} >= {"bookworm"}


async def test_a_package_that_debian_has_not_is_named(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no-such-package"):
        await resolve(archive, ["no-such-package"], tmp_path)


async def test_an_index_signed_by_other_keys_is_refused(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "keys.gpg").touch()
    forged = msgspec.structs.replace(archive, keyring=str(tmp_path / "keys.gpg"))
    with pytest.raises(HostError, match="not signed by the keys") as caught:
        await resolve(forged, ["make"], tmp_path / "state")
    assert not isinstance(caught.value, TransientError)


async def test_the_cloud_kernel_is_one_package_with_modules(archive: Archive, tmp_path: Path) -> None:
    (pin,) = (await resolve_kernel(archive, "linux-image-cloud-amd64", tmp_path / "state")).packages
    files = await fetch(archive, [pin], tmp_path / "debs")
    assert control(files[pin.name])["version"] == pin.version
    release = extract_kernel(files[pin.name], tmp_path / "bzimage", tmp_path / "modules.tar")
    assert pin.name == f"linux-image-{release}"
    # Documentation/arch/x86/boot.rst: the magic of a bzImage; arm64's image has its own at 0x38.
    head = (tmp_path / "bzimage").read_bytes()[:0x210]
    assert b"HdrS" in head or head[0x38:0x3C] == b"ARM\x64"
    with ModuleTar(tmp_path / "modules.tar") as modules:
        assert modules.read("virtio_mmio")
        assert modules.builtin("ext4")


def test_the_default_image_is_small_and_its_packages_are_named(image: Image) -> None:
    assert len(image.lock.packages) < 180
    assert image.lock.size < 80 * 1024 * 1024
    assert {"openssh-server", "git", "make", "curl"} < set(image.debs)
