"""What is taken in as a kernel: what it is, whether a VM could boot from it, and one clear error where not."""

import gzip
import tarfile
from functools import partial
from pathlib import Path

import pytest

from banger.guest.initramfs import collect_modules
from banger.guest.moduletar import ModuleTar
from banger.kernels.assemble import assemble, modules_of_initrd
from banger.kernels.bundle import unpack_bundle
from banger.kernels.identify import identify
from banger.kernels.modules import modules_below
from banger.model.errors import SpecError
from tests.fakes.kernel_files import (
    ALL,
    BUILT,
    MODULES,
    RELEASE,
    bundle,
    bzimage,
    cpio,
    module,
    modules_directory,
    vmlinux,
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "kernel"
    path.write_bytes(vmlinux())
    return path


def test_a_vmlinux_and_a_bzimage_say_which_linux_they_are() -> None:
    assert (identify(vmlinux(), "k").form, identify(vmlinux(), "k").release) == ("vmlinux", RELEASE)
    found = identify(bzimage(vmlinux(pvh=False), release="6.9-x"), "k")
    assert (found.form, found.release) == ("bzImage", "6.9-x")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"#!/bin/sh\n", "no kernel image"),
        (b"\x1f\x8b" + bytes(100), "packed with gzip"),
        (bytes(0x38) + b"ARM\x64" + bytes(600), "arm64"),
        (vmlinux(machine=183), "built for arm64"),
        (vmlinux(machine=3), "built for i386"),
        (b"\x7fELF\x01\x01" + bytes(100), "32-bit"),
        (b"\x7fELF", "cut short"),
        (vmlinux(pvh=False), "PVH"),
        (bzimage(vmlinux(machine=183)), "built for arm64"),
        (bzimage(b"junk" * 100), "packed in a way"),
        (bzimage(vmlinux())[:-10], "cut short"),
        (b"!<arch>\ndebian-binary", "Debian package"),
        (vmlinux()[:32] + b"\xff" * 8 + vmlinux()[40:], "PVH"),
    ],
    ids=range(14),
)
def test_what_is_no_kernel_for_a_vm_is_called_what_it_is(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=said):
        assemble(path, [], tmp_path / "out.tar", "/boot/k")


def test_a_kernel_with_all_built_in_needs_no_modules(image: Path, tmp_path: Path) -> None:
    assert assemble(image, [], tmp_path / "out.tar", "k") == RELEASE
    with ModuleTar(tmp_path / "out.tar") as source:
        assert collect_modules(source) == ()


@pytest.mark.parametrize("option", sorted(ALL - {"CONFIG_VIRTIO_PCI", "CONFIG_HW_RANDOM_VIRTIO"}))
def test_what_a_kernel_lacks_is_named_by_its_option(option: str, image: Path, tmp_path: Path) -> None:
    image.write_bytes(vmlinux(ALL - {option}))
    with pytest.raises(SpecError, match=f"it lacks {option} "):
        assemble(image, [], tmp_path / "out.tar", "k")


def test_a_kernel_without_pci_and_randomness_from_the_host_will_do(image: Path, tmp_path: Path) -> None:
    image.write_bytes(vmlinux(ALL - {"CONFIG_VIRTIO_PCI", "CONFIG_HW_RANDOM_VIRTIO"}))
    assert assemble(image, [], tmp_path / "out.tar", "k") == RELEASE


def test_a_config_in_the_kernel_is_believed_more_than_what_is_seen(image: Path, tmp_path: Path) -> None:
    lines = "".join(f"{option}=y\n" for option in sorted(ALL - {"CONFIG_EXT4_FS"}))
    image.write_bytes(vmlinux(ALL, config=lines + "# CONFIG_EXT4_FS is not set\n"))
    with pytest.raises(SpecError, match="it lacks CONFIG_EXT4_FS"):
        assemble(image, [], tmp_path / "out.tar", "k")
    image.write_bytes(vmlinux(frozenset(), config=lines + "CONFIG_EXT4_FS=y\n"))
    assert assemble(image, [], tmp_path / "out.tar", "k") == RELEASE


def test_drivers_may_be_modules_in_a_directory_or_in_an_initrd(image: Path, tmp_path: Path) -> None:
    image.write_bytes(vmlinux(BUILT))
    directory = modules_directory(tmp_path / "tree")
    initrd = tmp_path / "initrd"
    inside = {f"usr/lib/modules/{RELEASE}/kernel/{name}.ko": module(name) for name in MODULES}
    # The first archive, not packed, is what a processor's microcode comes in.
    initrd.write_bytes(cpio({"kernel/x86/microcode/x.bin": b"m"}) + bytes(512) + gzip.compress(cpio(inside)))
    tars = []
    for number, source in enumerate((lambda: modules_below(directory), lambda: modules_of_initrd(initrd, "i"))):
        out = tmp_path / f"{number}.tar"
        assert assemble(image, [source], out, "k") == RELEASE
        with ModuleTar(out) as modules:
            tars.append([one.name for one in collect_modules(modules)])
    assert tars == [list(MODULES), list(MODULES)]


def test_modules_of_the_tree_above_are_found_and_those_of_two_kernels_refused(image: Path, tmp_path: Path) -> None:
    modules_directory(tmp_path / "tree")
    assert len(list(modules_below(tmp_path / "tree"))) == len(MODULES)
    modules_directory(tmp_path / "tree", release="6.7.0")
    with pytest.raises(SpecError, match="modules of several kernels"):
        list(modules_below(tmp_path / "tree"))


def test_modules_of_another_kernel_are_refused(image: Path, tmp_path: Path) -> None:
    image.write_bytes(vmlinux(BUILT))
    other = modules_directory(tmp_path / "tree", release="6.7.0")
    with pytest.raises(SpecError, match=f"the kernel is {RELEASE}, its module virtio_mmio was built for 6.7.0"):
        assemble(image, [lambda: modules_below(other)], tmp_path / "out.tar", "k")


def test_a_module_that_needs_one_which_is_not_there_is_refused(image: Path, tmp_path: Path) -> None:
    image.write_bytes(vmlinux(BUILT))
    directory = modules_directory(tmp_path / "tree")
    (directory / "kernel" / "drivers" / "virtio_net.ko").write_bytes(module("virtio_net", depends="failover"))
    with pytest.raises(SpecError, match="failover, which virtio_net needs"):
        assemble(image, [lambda: modules_below(directory)], tmp_path / "out.tar", "k")


def test_a_link_in_a_directory_of_modules_is_not_followed(tmp_path: Path) -> None:
    directory = modules_directory(tmp_path / "tree")
    (tmp_path / "secret").write_text("secret")
    (directory / "evil.ko").symlink_to(tmp_path / "secret")
    (directory / "build").symlink_to("/")
    assert b"secret" not in b"".join(content for _, content in modules_below(directory))


def test_the_same_files_make_the_same_tar(image: Path, tmp_path: Path) -> None:
    image.write_bytes(vmlinux(BUILT))
    made = []
    for name in ("a", "b"):
        directory = modules_directory(tmp_path / name, names=MODULES if name == "a" else MODULES[::-1])
        assemble(image, [partial(modules_below, directory)], tmp_path / f"{name}.tar", "k")
        made.append((tmp_path / f"{name}.tar").read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty initrd"),
        (b"hello world", "no initrd"),
        (cpio({"a.ko": b"x" * 100})[:150], "cut short"),
        (b"070701" + b"zz" * 60, "broken header"),
        (gzip.compress(b"no cpio"), "no cpio archive"),
        (gzip.compress(cpio({"a": b"b"}))[:20], "cut short"),
        (b"\xfd7zXZ\0" + bytes(20), "cannot be decompressed"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 20, "cannot be decompressed"),
    ],
    ids=range(8),
)
def test_a_broken_initrd_is_one_clear_error(content: bytes, said: str, image: Path, tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=said):
        assemble(image, [lambda: modules_of_initrd(path, "the initrd")], tmp_path / "out.tar", "k")


def unpack(content: bytes, tmp_path: Path) -> str:
    (tmp_path / "bundle").write_bytes(content)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return unpack_bundle(tmp_path / "bundle", scratch, scratch / "image", scratch / "modules.tar", "the bundle")


@pytest.mark.requirement("KRN-004")
def test_a_bundle_has_a_kernel_and_maybe_an_initrd_and_modules(tmp_path: Path) -> None:
    members = {f"modules/kernel/{name}.ko": module(name) for name in MODULES[:2]}
    initrd = cpio({f"lib/modules/x/{name}.ko": module(name) for name in MODULES[2:]})
    assert unpack(bundle({"vmlinux": vmlinux(BUILT), "initrd.img": initrd} | members), tmp_path) == RELEASE
    assert (tmp_path / "scratch" / "image").read_bytes() == vmlinux(BUILT)
    with ModuleTar(tmp_path / "scratch" / "modules.tar") as source:
        assert [one.name for one in collect_modules(source)] == list(MODULES)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no zstd", "no kernel bundle"),
        (bundle({"vmlinux": vmlinux()})[:60], "no kernel bundle"),
        (bundle({"modules/a.ko": b""}), "without vmlinux"),
        (bundle({"vmlinux": vmlinux(), "../../etc/cron.d/x": b""}), "has no place"),
        (bundle({"vmlinux": vmlinux(), "/etc/passwd": b""}), "has no place"),
        (bundle({"vmlinux": vmlinux(), "modules/../../x.ko": b""}), "has no place"),
        (bundle({"vmlinux": vmlinux(), "./vmlinux": vmlinux()}), "there twice"),
        (bundle({"vmlinux": b""}, kinds={"vmlinux": tarfile.SYMTYPE}), "no regular file"),
        (bundle({"vmlinux": b""}, kinds={"vmlinux": tarfile.LNKTYPE}), "no regular file|linkname"),
        (bundle({"vmlinux": b""}, kinds={"vmlinux": tarfile.CHRTYPE}), "no regular file"),
        (bundle({"vmlinux": b"junk"}), "no kernel image"),
        (bundle({"vmlinux": vmlinux(BUILT)}), "it lacks CONFIG_VIRTIO_MMIO"),
    ],
    ids=range(12),
)
def test_a_bad_bundle_is_one_clear_error_and_writes_nowhere_else(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=said):
        unpack(content, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "scratch"}
    assert {path.name for path in (tmp_path / "scratch").iterdir()} <= {"image", "raw-modules.tar", "modules.tar"}
