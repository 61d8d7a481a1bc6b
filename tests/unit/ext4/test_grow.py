"""Clones keep their holes, and images grow quickly, whatever happened to them before."""

import dataclasses
import os
import subprocess
import time
from pathlib import Path

import anyio
import pytest

from banger.ext4 import write_image
from banger.ext4.grow import clone_sparse, grow
from banger.model.errors import HostError, NotFoundError, SpecError
from tests.unit.ext4.images import OPTIONS, Entry, assert_clean, debugfs, mounted, tar_of

GIB = 1024**3


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tar, image = tmp_path / "in.tar", tmp_path / "seed.img"
    tar.write_bytes(tar_of([Entry(b"file", data=os.urandom(2_000_000)), Entry(b"small", data=b"small")]))
    write_image(tar, image, dataclasses.replace(OPTIONS, size_bytes=GIB))
    return image


def test_a_clone_has_the_same_bytes_and_holes(image: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone.img"
    anyio.run(clone_sparse, image, clone)
    assert subprocess.run(["cmp", image, clone], check=False).returncode == 0
    assert clone.stat().st_blocks <= image.stat().st_blocks + 64


def test_a_file_that_ends_in_a_hole_or_is_one_is_cloned(tmp_path: Path) -> None:
    for name, data in (("hole", b""), ("head", b"x" * 10)):
        source = tmp_path / name
        source.write_bytes(data)
        os.truncate(source, 50_000_000)
        anyio.run(clone_sparse, source, tmp_path / f"{name}.clone")
        assert (tmp_path / f"{name}.clone").read_bytes() == source.read_bytes()
        assert (tmp_path / f"{name}.clone").stat().st_blocks <= 16


@pytest.mark.root
def test_a_clone_to_another_file_system_is_a_copy(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", other], check=True)
    try:
        anyio.run(clone_sparse, image, other / "clone.img")
        assert subprocess.run(["cmp", image, other / "clone.img"], check=False).returncode == 0
        assert (other / "clone.img").stat().st_blocks * 512 < 20_000_000
    finally:
        subprocess.run(["umount", other], check=True)


@pytest.mark.root
def test_a_clone_that_does_not_fit_leaves_nothing(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", other], check=True)
    try:
        with pytest.raises(HostError, match="No space left"):
            anyio.run(clone_sparse, image, other / "clone.img")
        assert list(other.iterdir()) == []
    finally:
        subprocess.run(["umount", other], check=True)


def test_a_clone_replaces_nothing_and_wants_a_source(image: Path, tmp_path: Path) -> None:
    present = tmp_path / "present"
    present.write_bytes(b"precious")
    with pytest.raises(HostError, match="File exists"):
        anyio.run(clone_sparse, image, present)
    assert present.read_bytes() == b"precious"
    with pytest.raises(NotFoundError, match="no such image"):
        anyio.run(clone_sparse, tmp_path / "missing", tmp_path / "clone.img")


@pytest.mark.anyio
async def test_a_cancelled_clone_leaves_nothing(image: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone.img"
    with anyio.CancelScope() as scope:
        scope.cancel()
        await clone_sparse(image, clone)
    assert not clone.exists()


@pytest.mark.parametrize("size_bytes", [GIB, GIB + 4096, 8 * GIB, 64 * GIB])
def test_an_image_grows_to_any_size_and_keeps_its_files(image: Path, size_bytes: int) -> None:
    anyio.run(grow, image, size_bytes)
    assert image.stat().st_size == size_bytes
    assert_clean(image)
    assert debugfs(image, "cat /small") == "small"


def test_growing_from_1_to_8_gib_takes_no_time_or_space(image: Path) -> None:
    before = image.stat().st_blocks
    started = time.monotonic()
    anyio.run(grow, image, 8 * GIB)
    assert time.monotonic() - started < 2  # measured: 0.03 s; this machine is shared
    assert (image.stat().st_blocks - before) * 512 < 4_000_000


def test_an_image_does_not_shrink(image: Path) -> None:
    with pytest.raises(SpecError, match=r"has 1073741824 bytes and cannot become smaller \(1000000000 bytes\)"):
        anyio.run(grow, image, 1_000_000_000)
    assert image.stat().st_size == GIB


def test_growing_that_was_cut_short_is_finished_by_the_next(image: Path) -> None:
    os.truncate(image, 8 * GIB)
    anyio.run(grow, image, 8 * GIB)
    blocks = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True, check=True).stdout
    assert "Block count:              2097152\n" in blocks


def test_only_ext4_images_are_grown(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"not an image")
    with pytest.raises(SpecError, match="not an ext4 image"):
        anyio.run(grow, text, GIB)
    assert text.read_bytes() == b"not an image"
    with pytest.raises(NotFoundError, match="no such image"):
        anyio.run(grow, tmp_path / "missing", GIB)


@pytest.mark.root
def test_an_image_that_was_used_grows(image: Path) -> None:
    with mounted(image) as root:
        (root / "new").write_bytes(b"new")
    anyio.run(grow, image, 2 * GIB)
    assert_clean(image)
    assert debugfs(image, "cat /new") == "new"


@pytest.mark.root
def test_an_image_that_was_not_unmounted_is_recovered_and_grows(image: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.img"
    with mounted(image) as root:
        (root / "new").write_bytes(b"new")
        os.sync()
        anyio.run(clone_sparse, image, torn)
    shown = subprocess.run(["dumpe2fs", "-h", torn], capture_output=True, text=True, check=True).stdout
    assert "needs_recovery" in shown
    anyio.run(grow, torn, 2 * GIB)
    assert_clean(torn)
    assert debugfs(torn, "cat /new") == "new"


def test_an_image_damaged_beyond_repair_is_said(image: Path) -> None:
    subprocess.run(["debugfs", "-w", "-R", "set_super_value state 2", image], check=True, capture_output=True)
    subprocess.run(["debugfs", "-w", "-R", "clri <2>", image], check=True, capture_output=True)
    with pytest.raises(HostError, match="damaged and e2fsck cannot repair it alone"):
        anyio.run(grow, image, 2 * GIB)
