"""Whatever the tree, e2fsck finds no fault and the kernel sees what the tar says."""

import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.ext4 import write_image
from tests.unit.ext4.images import OPTIONS, TIME, Entry, assert_clean, read_back, tar_of

NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: name not in (b".", b"..") and not set(name) & {0, 0x2F} and name != b"lost+found"
)
CONTENT = st.one_of(
    st.binary(max_size=200),
    st.integers(0, 40).map(lambda blocks: b"x" * 4096 * blocks),
    st.lists(st.tuples(st.sampled_from([b"\0", b"d"]), st.integers(1, 40)), max_size=12).map(
        lambda parts: b"".join(byte * 4096 * blocks for byte, blocks in parts) + b"end"
    ),
)
ATTRIBUTES = st.dictionaries(st.text("abcdef.", min_size=1, max_size=30).map("user.".__add__), st.binary(max_size=150))
IDENTITIES = st.integers(0, 2**32 - 2)
KINDS = st.sampled_from([tarfile.REGTYPE] * 4 + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])


@st.composite
def trees(draw: st.DrawFn) -> list[Entry]:
    """Entries with distinct paths, each below a directory that is there."""
    directories = [b""]
    paths: set[bytes] = set()
    entries: list[Entry] = []
    for name in draw(st.lists(NAMES, max_size=30)):
        above = draw(st.sampled_from(directories))
        path = above + name
        if path in paths:
            continue
        paths.add(path)
        kind = draw(KINDS)
        if kind == tarfile.DIRTYPE:
            directories.append(path + b"/")
        entries.append(draw(entries_at(path, kind)))
    return entries


def entries_at(path: bytes, kind: bytes) -> st.SearchStrategy[Entry]:
    return st.builds(
        Entry,
        name=st.just(path),
        kind=st.just(kind),
        data=CONTENT if kind == tarfile.REGTYPE else st.just(b""),
        mode=st.integers(0, 0o7777) if kind != tarfile.SYMTYPE else st.just(0o777),
        uid=IDENTITIES,
        gid=IDENTITIES,
        mtime=st.integers(-(2**31), TIME + 10),
        link=st.binary(min_size=1, max_size=200).filter(lambda link: 0 not in link)
        if kind == tarfile.SYMTYPE
        else st.just(b""),
        device=st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1))
        if kind == tarfile.CHRTYPE
        else st.just((0, 0)),
        xattrs=ATTRIBUTES if kind in (tarfile.REGTYPE, tarfile.DIRTYPE) else st.just({}),
    )


@pytest.mark.root
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(entries=trees(), order=st.randoms(use_true_random=False))
def test_any_tree_is_sound_complete_and_a_function_of_the_tree(entries: list[Entry], order: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tar, image, other = (Path(folder) / name for name in ("in.tar", "out.img", "other.img"))
        tar.write_bytes(tar_of(entries))
        write_image(tar, image, OPTIONS)
        assert_clean(image)
        seen = read_back(image)
        assert {path for path in seen if path} == {entry.name for entry in entries}
        for entry in entries:
            found = seen[entry.name]
            assert (found.mode & 0o7777, found.uid, found.gid) == (entry.mode, entry.uid, entry.gid)
            assert found.content == (entry.link or entry.data)
            assert found.mtime_ns == min(int(entry.mtime), TIME) * 1_000_000_000
            assert found.xattrs == entry.xattrs
            assert found.rdev == entry.device
        order.shuffle(entries)  # type: ignore[attr-defined]
        tar.write_bytes(tar_of(entries))
        write_image(tar, other, OPTIONS)
        assert other.read_bytes() == image.read_bytes()
