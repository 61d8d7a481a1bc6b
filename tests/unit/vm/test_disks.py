"""Overlays lie on their base, are made whole or not at all, and no disk is emptied by accident."""

import os
from pathlib import Path

import anyio
import pytest

from banger.host.process import run
from banger.model.errors import HostError
from banger.vm.disks import check_overlay, create_empty, create_overlay, lay_delta, overlay_size
from banger.vm.qcow2 import set_backing

pytestmark = pytest.mark.anyio
MIB = 1024**2


async def done(*argv: str | Path) -> None:
    (await run(argv, deadline_s=30)).check("test")


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "image: a,b=c.img"
    base.write_bytes(os.urandom(MIB))
    return base


@pytest.mark.requirement("DSK-002")
async def test_an_overlay_reads_as_its_base_and_zeroes_beyond(base: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "root.qcow2"
    await create_overlay(base, overlay, size_bytes=2 * MIB)
    assert check_overlay(overlay, base) == 2 * MIB
    flat = tmp_path / "flat"
    await done("qemu-img", "convert", "-O", "raw", overlay, flat)
    assert await anyio.Path(flat).read_bytes() == await anyio.Path(base).read_bytes() + bytes(MIB)
    assert overlay.stat().st_size < MIB


async def test_an_overlay_without_a_size_is_as_large_as_its_base(base: Path, tmp_path: Path) -> None:
    await create_overlay(base, tmp_path / "root.qcow2")
    assert check_overlay(tmp_path / "root.qcow2", base) == MIB


async def test_making_it_again_starts_afresh(base: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "root.qcow2"
    await create_overlay(base, overlay)
    await done("qemu-io", "-c", "write -P 1 0 4096", overlay)
    await create_overlay(base, overlay)
    await done("qemu-img", "compare", "-F", "raw", "-f", "qcow2", overlay, base)


@pytest.mark.parametrize(("content", "size"), [(None, None), (b"", None), (b"x" * 513, None), (b"x" * 1024, 512)])
async def test_a_base_that_cannot_be_is_refused_and_nothing_is_left(
    content: bytes | None, size: int | None, tmp_path: Path
) -> None:
    base = tmp_path / "base.img"
    if content is not None:
        base.write_bytes(content)
    before = names_in(tmp_path)
    with pytest.raises(HostError, match=r"image .*base\.img: "):
        await create_overlay(base, tmp_path / "root.qcow2", size_bytes=size)
    assert names_in(tmp_path) == before


async def test_a_failure_leaves_what_was_there(base: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "root.qcow2"
    await create_overlay(base, overlay)
    with pytest.raises(HostError, match="more than a disk can have"):
        await create_overlay(base, overlay, size_bytes=1 << 63)
    assert check_overlay(overlay, base) == MIB
    assert names_in(tmp_path) == sorted([base.name, overlay.name])


@pytest.mark.parametrize("size", [MIB, 600 * MIB + 512, 5 * 1024**4, 1 << 44])
async def test_an_overlay_is_sound_to_its_last_byte_whatever_its_size(base: Path, tmp_path: Path, size: int) -> None:
    overlay = tmp_path / "root.qcow2"
    await create_overlay(base, overlay, size_bytes=size)
    await done("qemu-io", "-c", "write -P 7 512 512", "-c", f"write -P 9 {size - 512} 512", overlay)
    await done("qemu-io", "-c", "read -P 7 512 512", "-c", f"read -P 9 {size - 512} 512", overlay)
    await done("qemu-img", "check", overlay)


async def test_a_delta_has_no_base_in_it_and_is_laid_on_another_of_the_same_content(base: Path, tmp_path: Path) -> None:
    delta, there, disk = tmp_path / "delta.qcow2", tmp_path / "moved.img", tmp_path / "root.qcow2"
    await create_overlay(base, delta)
    await done("qemu-io", "-c", "write -P 7 512 512", delta)
    set_backing(delta, None)
    assert os.fsencode(base.parent) not in delta.read_bytes()
    await anyio.Path(base).rename(there)
    lay_delta(delta, there, disk)
    assert check_overlay(disk, there) == MIB
    await done("qemu-img", "check", disk)
    flat = tmp_path / "flat"
    await done("qemu-img", "convert", "-O", "raw", disk, flat)
    wanted = bytearray(there.read_bytes())
    wanted[512:1024] = b"\7" * 512
    assert flat.read_bytes() == bytes(wanted)


async def test_a_base_whose_name_is_too_long_for_the_format_is_refused(base: Path, tmp_path: Path) -> None:
    await create_overlay(base, tmp_path / "root.qcow2")
    with pytest.raises(HostError, match="cannot lie on"):
        set_backing(tmp_path / "root.qcow2", Path("/" + "x" * 1023))
    assert check_overlay(tmp_path / "root.qcow2", base) == MIB


async def test_an_overlay_on_another_image_is_refused(base: Path, tmp_path: Path) -> None:
    await create_overlay(base, tmp_path / "root.qcow2")
    with pytest.raises(HostError, match="it lies on"):
        check_overlay(tmp_path / "root.qcow2", tmp_path / "other.img")
    assert overlay_size(tmp_path / "root.qcow2") == MIB


@pytest.mark.parametrize("content", [None, b"", b"QFI", b"\0" * 4096])
def test_what_is_not_an_overlay_is_refused(content: bytes | None, tmp_path: Path) -> None:
    disk = tmp_path / "root.qcow2"
    if content is not None:
        disk.write_bytes(content)
    with pytest.raises(HostError, match=r"disk .*root\.qcow2: "):
        check_overlay(disk, tmp_path)


def test_an_empty_disk_takes_no_space_and_is_never_made_over_another(tmp_path: Path) -> None:
    disk = tmp_path / "work.raw"
    create_empty(disk, 8 * 1024 * MIB)
    assert disk.stat().st_size == 8 * 1024 * MIB
    assert disk.stat().st_blocks == 0
    with pytest.raises(FileExistsError):
        create_empty(disk, MIB)
