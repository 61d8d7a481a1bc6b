"""A program that runs on a guest's file reaches that file and nothing else."""

import shutil
import subprocess
from functools import partial
from pathlib import Path

import anyio
import pytest

from banger.ext4.grow import grow
from banger.host.confined import run_confined
from banger.model.errors import DeadlineError

MIB = 1024**2


def tool(name: str) -> Path:
    found = shutil.which(name)
    assert found
    return Path(found)


async def test_it_can_neither_read_nor_write_beside_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "disk").write_text("disk")
    seen = await run_confined(
        tool("cat"), [str(tmp_path / "secret")], tmp_path / "disk", file_bytes=4096, deadline_s=10
    )
    assert seen.status != 0
    assert b"secret" not in seen.stderr.replace(str(tmp_path / "secret").encode(), b"")
    assert seen.stderr.startswith(b"disk") or b"disk" in seen.stderr
    done = await run_confined(tool("touch"), [str(tmp_path / "new")], tmp_path / "disk", file_bytes=4096, deadline_s=10)
    assert done.status != 0
    assert not (tmp_path / "new").exists()


async def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "disk").touch()
    with pytest.raises(DeadlineError, match="not finished after"):
        await run_confined(tool("tail"), ["-f"], tmp_path / "disk", file_bytes=4096, deadline_s=0.3)


def test_a_guests_disk_grows_confined(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", disk], check=True)
    anyio.run(partial(grow, disk, 512 * MIB, foreign=True))
    assert disk.stat().st_size == 512 * MIB
    checked = subprocess.run(["e2fsck", "-fn", disk], capture_output=True, text=True, check=True)
    assert "/524288 blocks" in checked.stdout
