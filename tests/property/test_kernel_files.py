"""Whatever is in a kernel, an initrd or a bundle: it is taken in, or refused with one error of banger's, and soon."""

import gzip
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.kernels.assemble import assemble, modules_of_initrd
from banger.kernels.bundle import unpack_bundle
from banger.model.errors import SpecError
from tests.fakes.kernel_files import BUILT, MODULES, bundle, bzimage, cpio, module, vmlinux

INSIDE = {f"lib/modules/6/kernel/{name}.ko": module(name) for name in MODULES}
KERNELS = [vmlinux(), vmlinux(config="CONFIG_EXT4_FS=y\n"), bzimage(vmlinux())]
INITRDS = [cpio(INSIDE), gzip.compress(cpio(INSIDE)), cpio({"a": b"b"}) + bytes(512) + gzip.compress(cpio(INSIDE))]
BUNDLES = [bundle({"vmlinux": vmlinux()}), bundle({"vmlinux": vmlinux(BUILT), "initrd.img": cpio(INSIDE)})]

CHANGES = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6)
CUTS = st.none() | st.integers(0, 1 << 14)


def changed(data: bytes, changes: list[tuple[int, int]], cut: int | None) -> bytes:
    """The data with some bytes replaced, and maybe cut short."""
    content = bytearray(data)
    for place, value in changes:
        content[place % len(content)] = value
    return bytes(content if cut is None else content[: cut % len(content)])


@settings(deadline=None, max_examples=150)
@given(kernel=st.sampled_from(KERNELS), changes=CHANGES, cut=CUTS)
def test_a_changed_kernel_is_taken_or_refused(kernel: bytes, changes: list[tuple[int, int]], cut: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image")
        image.write_bytes(changed(kernel, changes, cut))
        with suppress(SpecError):
            assert assemble(image, [], Path(folder, "out"), "k")


@settings(deadline=None, max_examples=150)
@given(initrd=st.sampled_from(INITRDS), changes=CHANGES, cut=CUTS)
def test_a_changed_initrd_is_taken_or_refused(initrd: bytes, changes: list[tuple[int, int]], cut: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        image, path = Path(folder, "image"), Path(folder, "initrd")
        image.write_bytes(vmlinux(BUILT))
        path.write_bytes(changed(initrd, changes, cut))
        with suppress(SpecError):
            assert assemble(image, [partial(modules_of_initrd, path, "i")], Path(folder, "out"), "k")


@settings(deadline=None, max_examples=150)
@given(packed=st.sampled_from(BUNDLES), changes=CHANGES, cut=CUTS)
def test_a_changed_bundle_is_taken_or_refused(packed: bytes, changes: list[tuple[int, int]], cut: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        Path(folder, "bundle").write_bytes(changed(packed, changes, cut))
        with suppress(SpecError):
            assert unpack_bundle(Path(folder, "bundle"), scratch, scratch / "image", scratch / "modules", "b")
        assert {path.name for path in Path(folder).iterdir()} == {"bundle", "scratch"}


@pytest.mark.parametrize("content", [b"\0" * 4096, b"\xff" * 4096, b"\x7fELF" * 1000, b"070701" * 1000])
def test_what_only_looks_like_something_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(content)
    with pytest.raises(SpecError):
        assemble(tmp_path / "image", [], tmp_path / "out", "k")
