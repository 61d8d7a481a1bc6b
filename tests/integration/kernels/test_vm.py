"""VMs with other kernels than the usual one: imported from files, and fetched because a VM names it."""

import json
import subprocess
from pathlib import Path

import pytest

from banger.guest.kernel import extract_vmlinux
from tests.fakes.docs import commands
from tests.real import Banger

pytestmark = [pytest.mark.vm, pytest.mark.network]


def debian_kernel(metapackage: str, folder: Path) -> tuple[Path, Path]:
    """The kernel that a metapackage of Debian's stands for, unpacked and not installed: its image and its modules."""
    asked = ["apt-cache", "depends", metapackage]
    depends = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    name = depends.partition("Depends: ")[2].split()[0]
    subprocess.run(["apt-get", "-q", "download", name], cwd=folder, check=True, capture_output=True)
    subprocess.run(["dpkg-deb", "-x", next(folder.glob("*.deb")), folder], check=True)
    return next((folder / "boot").glob("vmlinuz-*")), next((folder / "lib" / "modules").iterdir())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return debian_kernel("linux-image-6.12-cloud-amd64", tmp_path_factory.mktemp("kernel"))


@pytest.mark.requirement("CLI-043")
def test_a_vm_boots_an_imported_kernel_keeps_it_and_boots_it_again(banger: Banger, files: tuple[Path, Path]) -> None:
    image, modules = files
    release = modules.name
    refused = banger.run("kernel", "import", "mine", str(image))
    assert refused.returncode == 1
    assert "CONFIG_VIRTIO_MMIO" in refused.stderr
    assert "--modules" in refused.stderr
    said = banger.ok("kernel", "import", "mine", str(image), "--modules", str(modules), "--quiet")
    assert said == f"mine: Linux {release}\n"
    banger.ok("vm", "create", "--name", "box", "--kernel-ref", "mine", "--quiet")
    assert banger.ok("vm", "exec", "box", "--", "uname", "-r").strip() == release
    refused = banger.run("kernel", "rm", "mine")
    assert refused.returncode == 1
    assert "kernel mine is in use by box" in refused.stderr
    banger.ok("vm", "stop", "box")
    banger.ok("vm", "start", "box")
    assert banger.ok("vm", "exec", "box", "--", "uname", "-r").strip() == release
    banger.ok("vm", "delete", "box")
    banger.ok("kernel", "rm", "mine")
    assert "mine" not in [one["name"] for one in json.loads(banger.ok("kernel", "list", "--json"))]


@pytest.mark.nightly
def test_a_vm_boots_a_bare_vmlinux(banger: Banger, files: tuple[Path, Path], tmp_path: Path) -> None:
    image, modules = files
    bare = tmp_path / "vmlinux"
    bare.write_bytes(extract_vmlinux(image.read_bytes()))
    banger.ok("kernel", "import", "bare", str(bare), "--modules", str(modules))
    said = banger.ok("vm", "run", "--rm", "--kernel-ref", "bare", "--quiet", "--", "uname", "-r")
    assert said.strip() == modules.name
    banger.ok("kernel", "rm", "bare")


@pytest.mark.nightly
def test_a_vm_boots_a_kernel_whose_ext4_is_a_module(banger: Banger, tmp_path: Path) -> None:
    image, modules = debian_kernel("linux-image-amd64", tmp_path)
    banger.ok("kernel", "import", "full", str(image), "--modules", str(modules))
    said = banger.ok("vm", "run", "--rm", "--kernel-ref", "full", "--quiet", "--", "uname", "-r")
    assert said.strip() == modules.name
    banger.ok("kernel", "rm", "full")


@pytest.mark.requirement("CLI-043")
def test_every_command_of_the_page_works_and_a_kernel_that_a_vm_names_is_fetched(
    banger: Banger, files: tuple[Path, Path]
) -> None:
    image, modules = files
    shown = {}
    for words in commands("kernel-catalog.md"):
        real = {"/boot/vmlinuz-RELEASE": str(image), "/lib/modules/RELEASE": str(modules)}
        shown[" ".join(words)] = banger.ok(*(real.get(word, word) for word in words))
    assert "generic-6.12" in shown["plan vm create --kernel-ref generic-6.12"]
    release = shown["vm run --rm --kernel-ref generic-6.12 -- uname -r"].strip()
    assert release.startswith("6.12.")
    assert f"release:      {release}" in shown["kernel show generic-6.12"]
    assert "here, kept" in shown["kernel show generic-6.12"]
    assert shown["vm run --rm --kernel-ref my-kernel -- uname -r"].strip() == modules.name
    banger.ok("kernel", "rm", "generic-6.12")


@pytest.mark.requirement("CLI-044")
def test_a_deep_look_boots_a_vm_and_leaves_none(banger: Banger) -> None:
    checks = {one["name"]: one for one in json.loads(banger.run("doctor", "--deep", "--json").stdout)}
    assert checks["kernel"]["status"] == "ok"
    assert checks["probe: boot"]["detail"].startswith("Linux 6.1.")
    assert checks["probe: disks"]["status"] == "ok"
    assert {"probe: names", "probe: network"} <= set(checks)
    assert json.loads(banger.ok("vm", "list", "--json")) == []
