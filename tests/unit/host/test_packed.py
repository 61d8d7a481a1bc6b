"""A packed file holds what its sparse file holds, and no more than that takes space or time."""

import os
import struct
from pathlib import Path

import pytest

from banger.host.packed import pack, unpack
from banger.model.errors import HostError

MIB = 1024**2


def sparse(path: Path, size: int, pieces: dict[int, bytes]) -> bytes:
    with path.open("xb") as file:
        file.truncate(size)
        for at, data in pieces.items():
            file.seek(at)
            file.write(data)
    return path.read_bytes()


@pytest.mark.parametrize("pieces", [{}, {0: b"begin"}, {5 * MIB + 3: os.urandom(70_000), 31 * MIB: b"x" * MIB}])
def test_what_is_unpacked_is_what_was_packed_with_its_holes(tmp_path: Path, pieces: dict[int, bytes]) -> None:
    content = sparse(tmp_path / "disk", 32 * MIB, pieces)
    pack(tmp_path / "disk", tmp_path / "packed")
    assert (tmp_path / "packed").stat().st_size < sum(map(len, pieces.values())) + 64 * 1024
    unpack(tmp_path / "packed", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == content
    assert (tmp_path / "again").stat().st_blocks <= (tmp_path / "disk").stat().st_blocks + 8


def test_extents_that_reach_beyond_the_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(struct.pack("<8sQQQQ", b"bngrpack", 4096, 1, 0, 8192).ljust(4096 + 8192, b"a"))
    with pytest.raises(HostError, match="beyond its end"):
        unpack(tmp_path / "packed", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"bngrpack", b"\0" * 4096, struct.pack("<8sQQ", b"bngrpack", 9, 1 << 40)])
def test_what_is_no_packed_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "packed").write_bytes(content)
    with pytest.raises(HostError, match="packed"):
        unpack(tmp_path / "packed", tmp_path / "out")
