"""What the kernel and e2fsprogs do with a flattened image: grow it, write to it, find every name; and the seed."""

import dataclasses
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from banger.layers.options import Request, Seed
from banger.model.errors import SpecError
from tests.unit.ext4.images import OPTIONS, Entry, assert_clean, mounted, read_tree, tar_of
from tests.unit.ext4.test_image import EVERYTHING
from tests.unit.layers.images import DIR, flatten_here, layer_of, layers_of, tree_of

ALL_KINDS = [entry for entry in EVERYTHING if entry.name != b"late.link"]


@pytest.mark.root
def test_a_seed_takes_one_directory_out_of_the_image(tmp_path: Path) -> None:
    home = [
        Entry(b"home/u", DIR, mode=0o750, uid=7),
        Entry(b"home/u/a", data=b"a" * 10_000),
        Entry(b"home/u/b", tarfile.LNKTYPE, link=b"home/u/a"),
        Entry(b"home/u/holes", data=b"x" * 4096 + bytes(100 * 4096) + b"yz"),
        Entry(b"home/u/d/e", data=b"e"),
        Entry(b"outside", tarfile.LNKTYPE, link=b"home/u/a"),
        Entry(b"root", tarfile.SYMTYPE, link=b"home/u"),
    ]
    seed = Seed(tmp_path / "seed.img", "root", OPTIONS, is_moved=True)
    flatten_here(layers_of(tmp_path, [home]), tmp_path / "out.img", Request(OPTIONS, seed=seed))
    assert_clean(tmp_path / "out.img")
    assert_clean(tmp_path / "seed.img")
    assert set(tree_of(tmp_path / "out.img")) == {b"", b"home", b"home/u", b"outside", b"root"}
    seen = tree_of(tmp_path / "seed.img")
    assert set(seen) == {b"", b"a", b"b", b"d", b"d/e", b"holes"}
    assert (seen[b""].mode, seen[b""].uid) == (0o40750, 7)
    assert seen[b"a"].content == b"a" * 10_000
    assert (seen[b"b"].same_file, seen[b"a"].links) == (b"a", 2)
    assert seen[b"holes"].content == home[3].data
    assert (tmp_path / "seed.img").stat().st_blocks * 512 < 2_000_000


@pytest.mark.root
def test_the_kernel_writes_to_a_flattened_image_that_was_grown(tmp_path: Path) -> None:
    image = tmp_path / "out.img"
    names = [Entry(b"lots/%04d-%s" % (n, b"x" * 200), data=b"%d" % n) for n in range(3000)]
    flatten_here(layers_of(tmp_path, [names, ALL_KINDS, [Entry(b"lots/.wh.0007-" + b"x" * 200)]]), image)
    assert_clean(image)
    subprocess.run(["truncate", "-s", "2G", image], check=True)
    subprocess.run(["resize2fs", image], check=True, capture_output=True)
    assert_clean(image)
    with mounted(image) as root:
        assert (root / "lots" / ("0042-" + "x" * 200)).read_bytes() == b"42"
        for n in range(2000):
            (root / "lots" / f"new{n}").write_bytes(b"y" * 5000)
        for n in range(1000, 2000):
            (root / "lots" / (f"{n}-" + "x" * 200)).unlink()
        assert len(read_tree(root)) > 4000
    assert_clean(image)


@pytest.mark.root
def test_a_directory_with_an_index_of_two_levels_is_found_by_every_name(tmp_path: Path) -> None:
    image = tmp_path / "out.img"
    names = [b"%05d" % n + b"n" * 250 for n in range(7800)]
    flatten_here([layer_of(tmp_path, tar_of([Entry(b"d/" + name) for name in names]))], image)
    assert_clean(image)
    with mounted(image, "ro") as root:
        top = os.fsencode(root) + b"/d/"
        assert all(os.path.lexists(top + name) for name in names)
        assert not (root / "d" / "missing").exists()


@pytest.mark.parametrize("size_bytes", [32 << 20, 200 << 20, (8 << 30) + 4096 * 77])
def test_an_image_of_a_stated_size_has_it(tmp_path: Path, size_bytes: int) -> None:
    image = tmp_path / "out.img"
    request = Request(dataclasses.replace(OPTIONS, size_bytes=size_bytes))
    flatten_here(layers_of(tmp_path, [ALL_KINDS]), image, request)
    assert image.stat().st_size == size_bytes
    assert_clean(image)


def test_a_size_that_is_too_small_is_refused(tmp_path: Path) -> None:
    request = Request(dataclasses.replace(OPTIONS, size_bytes=24 << 20))
    layers = layers_of(tmp_path, [[Entry(b"f", data=os.urandom(30_000_000))]])
    with pytest.raises(SpecError, match="too small"):
        flatten_here(layers, tmp_path / "out.img", request)


def test_an_image_without_layers_is_an_empty_tree(tmp_path: Path) -> None:
    flatten_here([], tmp_path / "out.img")
    assert_clean(tmp_path / "out.img")
