"""A blob is what it is said to be, within the limits, or it is refused."""

import dataclasses
import gzip
import hashlib
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from banger.layers.options import Compression, Layer, Limits, Request
from banger.model.errors import SpecError
from tests.unit.ext4.images import OPTIONS, Entry, debugfs, tar_of
from tests.unit.layers.images import DIR, flatten_here, layer_of, layers_of


def said(compression: Compression) -> Callable[[Layer], Layer]:
    return lambda one: dataclasses.replace(one, compression=compression)


def _damaged(layer: Layer, at: int) -> Layer:
    data = bytearray(layer.path.read_bytes())
    data[at] ^= 1
    layer.path.write_bytes(data)
    return layer


def _with(layer: Layer, data: bytes) -> Layer:
    layer.path.write_bytes(data)
    return layer


ZERO = "0" * 64
NONE, GZIP, ZSTD = Compression
BLOBS: dict[str, tuple[Compression, Callable[[Layer], Layer], str]] = {
    "other diff id": (GZIP, lambda one: dataclasses.replace(one, diff_id=ZERO), "its tar has the sha256"),
    "other digest": (GZIP, lambda one: dataclasses.replace(one, digest=ZERO), "its blob has the sha256"),
    "gzip said, zstd is": (
        ZSTD,
        said(GZIP),
        "not gzip",
    ),
    "zstd said, gzip is": (
        GZIP,
        said(ZSTD),
        "not zstd",
    ),
    "tar said, gzip is": (
        GZIP,
        said(NONE),
        "damaged",
    ),
    "gzip said, tar is": (
        NONE,
        said(GZIP),
        "not gzip",
    ),
    "zstd said, tar is": (
        NONE,
        said(ZSTD),
        "not zstd",
    ),
    "damaged gzip": (GZIP, lambda one: _damaged(one, 100), "gzip data is damaged"),
    "damaged gzip checksum": (GZIP, lambda one: _damaged(one, -8), "gzip data is damaged"),
    "damaged gzip length": (GZIP, lambda one: _damaged(one, -1), "gzip data is damaged"),
    "gzip, cut short": (GZIP, lambda one: _with(one, one.path.read_bytes()[:-5]), "cut short"),
    "gzip, empty": (GZIP, lambda one: _with(one, b""), "is not gzip"),
    "garbage behind gzip": (GZIP, lambda one: _with(one, one.path.read_bytes() + bytes(50)), "damaged"),
    "damaged zstd": (ZSTD, lambda one: _damaged(one, 40), "zstd data is damaged|its tar has|damaged"),
    "zstd, cut short": (
        ZSTD,
        lambda one: _with(one, one.path.read_bytes()[:-9]),
        "has the sha256",
    ),
    "garbage behind zstd": (ZSTD, lambda one: _with(one, one.path.read_bytes() + b"garbage"), "damaged"),
    "damaged tar": (NONE, lambda one: _damaged(one, 600), "has the sha256"),
}


@pytest.mark.parametrize("name", BLOBS)
def test_a_blob_that_is_not_what_it_is_said_to_be_is_refused(tmp_path: Path, name: str) -> None:
    compression, change, message = BLOBS[name]
    layer = layer_of(tmp_path, tar_of([Entry(b"f", data=random.Random(2).randbytes(3000))]), compression)
    layer = change(layer)
    with pytest.raises(SpecError, match=f"^layer .*({message})"):
        flatten_here([layer], tmp_path / "out.img")


def test_skippable_frames_and_several_frames_of_zstd_are_read(tmp_path: Path) -> None:
    tar = tar_of([Entry(b"f", data=b"x" * 5000)])
    skipped = b"\x5e\x2a\x4d\x18" + (8).to_bytes(4, "little") + b"whatever"
    blob = skipped + zstandard.compress(tar[:1000]) + skipped + zstandard.compress(tar[1000:]) + skipped
    path = tmp_path / "blob"
    path.write_bytes(blob)
    layer = Layer(path, ZSTD, hashlib.sha256(tar).hexdigest(), hashlib.sha256(blob).hexdigest())
    flatten_here([layer], tmp_path / "out.img")
    assert debugfs(tmp_path / "out.img", "cat /f") == "x" * 5000


SMALL = Limits(entries=50, tar_bytes=1 << 20, ratio=50, ratio_grace_bytes=1 << 16, gzip_members=10, layers=3)
BOMBS: dict[str, tuple[Callable[[Path], list[Layer]], str]] = {
    "gzip ratio": (
        lambda at: [layer_of(at, tar_of([Entry(b"z", data=bytes(900_000))]))],
        "50 times its size",
    ),
    "zstd ratio": (
        lambda at: [layer_of(at, tar_of([Entry(b"z", data=bytes(900_000))]), ZSTD)],
        "50 times its size",
    ),
    "tar bytes": (lambda at: layers_of(at, [[Entry(b"n", data=os.urandom(600_000))]] * 2), "more than 1 MiB of tars"),
    "entries": (lambda at: layers_of(at, [[Entry(b"%d" % n) for n in range(30)]] * 2), "too many entries"),
    "implied directories": (lambda at: layers_of(at, [[Entry(b"d/" * 60 + b"f")]]), "too many entries"),
    "layers": (lambda at: layers_of(at, [[Entry(b"f")]] * 4), "more than 3 layers"),
    "gzip members": (lambda at: [_members(at)], "more than 10 gzip members"),
}


def _members(folder: Path) -> Layer:
    layer = layer_of(folder, tar_of([Entry(b"f")]))
    return _with(dataclasses.replace(layer, digest=None), layer.path.read_bytes() + gzip.compress(b"") * 20)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_the_limit_that_it_passes(tmp_path: Path, name: str) -> None:
    make, message = BOMBS[name]
    with pytest.raises(SpecError, match=message):
        flatten_here(make(tmp_path), tmp_path / "out.img", Request(OPTIONS, limits=SMALL))


def test_deep_directories_are_refused(tmp_path: Path) -> None:
    entries = [
        Entry(b"d/" * 1500, DIR),
        Entry(b"s", tarfile.SYMTYPE, link=b"d/" * 1500),
        Entry(b"s/" + b"d/" * 900, DIR),
    ]
    with pytest.raises(SpecError, match="more than 2048 deep"):
        flatten_here([layer_of(tmp_path, tar_of(entries))], tmp_path / "out.img")


def test_a_zstd_window_of_more_than_128_mib_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, compression_level=1)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    tar = tar_of([Entry(b"f", data=os.urandom(100_000))])
    blob = compressor.compress(tar) + compressor.flush()
    (tmp_path / "blob").write_bytes(blob)
    layer = Layer(tmp_path / "blob", ZSTD, hashlib.sha256(tar).hexdigest())
    with pytest.raises(SpecError, match="needs a window of more than 128 MiB"):
        flatten_here([layer], tmp_path / "out.img")
