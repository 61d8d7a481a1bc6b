"""What a hostile guest sends as a tar ends in the directory that it is for, or nowhere."""

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.cli.unpack import Bounds, Unpacker
from banger.model.errors import GuestError

SECRET = "of the host\n"


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(content) if kind == tarfile.REGTYPE else 0, 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def link(name: str, target: str) -> bytes:
    return member(name, tarfile.SYMTYPE, linkname=target)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A directory to unpack to, beside something of the host's that must stay as it is, and a link to that."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text(SECRET)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "way-out").symlink_to("../outside")
    (folder / "to-file").symlink_to("../outside/file")
    yield folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "outside"]
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == SECRET
    assert not list(folder.glob(".banger*"))


def unpack(folder: Path, data: bytes, *, only: bytes | None = None, bounds: Bounds | None = None) -> list[str]:
    descriptor = os.open(folder, os.O_RDONLY)
    unpacker = Unpacker(descriptor, bounds or Bounds(), only=only)
    try:
        for at in range(0, len(data), 700):
            unpacker.feed(data[at : at + 700])
        unpacker.finish()
    finally:
        unpacker.close()
        os.close(descriptor)
    return unpacker.left_out


REFUSED = {
    "a name that leads up": member("../outside/file", content=b"x"),
    "a name that leads up from within": member("a/../../outside/file", content=b"x"),
    "a file behind the host's link": member("way-out/file", content=b"x"),
    "a new file behind the host's link": member("way-out/new", content=b"x"),
    "a directory in the place of the host's link": member("way-out", tarfile.DIRTYPE)
    + member("way-out/f", content=b"x"),
    "a directory behind it": member("way-out/d", tarfile.DIRTYPE),
    "a link behind it": link("way-out/l", "file"),
    "a file behind a link of its own": link("l", "d") + member("d/", tarfile.DIRTYPE) + member("l/file", content=b"x"),
    "a file in the place of a directory": member("d/", tarfile.DIRTYPE) + member("d", content=b"x"),
    "a file below a file": member("f", content=b"x") + member("f/g", content=b"y"),
    "a damaged header": b"\xff" * 512,
    "a header whose sum is wrong": member("f").replace(b"f", b"g", 1),
    "a name too long": member("x" * 300, content=b"x"),
    "a size that is negative": member("f", content=b"")[:124] + b"\xff" * 12 + member("f")[136:],
    "an extended header that is huge": member("f", tarfile.XHDTYPE, size=1 << 30),
    "content that is cut short": member("f", content=b"x" * 5000)[:2000],
    "more than is taken": member("f", content=b"") + member("g", content=b"x" * 2000),
    "a sparse file": member("f", tarfile.GNUTYPE_SPARSE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_to_be_taken_is_an_error_and_changes_nothing_outside(here: Path, case: str) -> None:
    with pytest.raises(GuestError):
        unpack(here, REFUSED[case] + bytes(1024), bounds=Bounds(1000, 10) if case == "more than is taken" else None)


LEFT_OUT = {
    "a device": member("f", tarfile.CHRTYPE, devmajor=1, devminor=3),
    "a block device": member("f", tarfile.BLKTYPE, devmajor=8),
    "a FIFO": member("f", tarfile.FIFOTYPE),
    "a link to the root": link("f", "/etc/passwd"),
    "a link that leads out": link("f", "../outside/file"),
    "a link that leads out from below": link("d/f", "../../outside"),
    "a link that goes up behind another": member("d/e/", tarfile.DIRTYPE)
    + link("d/e/up", "../..")
    + link("f", "d/e/up/.."),
    "a hard link to the host's file": member("f", tarfile.LNKTYPE, linkname="to-file"),
    "a hard link behind the host's link": member("f", tarfile.LNKTYPE, linkname="way-out/file"),
    "a hard link to nothing": member("f", tarfile.LNKTYPE, linkname="none"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_a_copy_is_better_without_is_left_out_and_told(here: Path, case: str) -> None:
    assert len(unpack(here, LEFT_OUT[case] + bytes(1024))) == 1
    assert not (here / "f").is_symlink()
    assert not (here / "f").exists()


def test_a_link_that_stands_in_the_way_is_replaced_and_not_followed(here: Path) -> None:
    assert unpack(here, member("to-file", content=b"mine") + member("way-out", content=b"mine too") + bytes(1024)) == []
    assert not (here / "to-file").is_symlink()
    assert (here / "to-file").read_text() == "mine"
    assert (here / "way-out").read_text() == "mine too"


def test_owner_and_special_bits_are_not_taken_over(here: Path) -> None:
    unpack(
        here,
        member("d/", tarfile.DIRTYPE, mode=0o7000) + member("d/f", content=b"x", mode=0o6777, uid=1234) + bytes(1024),
    )
    status = (here / "d/f").stat()
    assert (stat.S_IMODE(status.st_mode) & 0o7000, status.st_uid) == (0, os.geteuid())
    assert stat.S_IMODE((here / "d").stat().st_mode) == 0o700


def test_a_tree_comes_out_as_it_was_packed(here: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in {"a/b/c": b"1" * 3000, "ü" * 120: b"", "a/empty": b""}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_600_000_000
            tar.addfile(info, io.BytesIO(content))
        for info, target in ((tarfile.TarInfo("a/link"), "b/c"), (tarfile.TarInfo("a/b/up"), "../../a")):
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        hard = tarfile.TarInfo("a/hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, "a/b/c"
        tar.addfile(hard)
    assert unpack(here, data.getvalue()) == []
    assert (here / "a/link").read_bytes() == (here / "a/b/c").read_bytes() == b"1" * 3000
    assert (here / "a/hard").samefile(here / "a/b/c")
    assert (here / "a/b/up/empty").read_bytes() == (here / ("ü" * 120)).read_bytes() == b""
    assert (here / "a/b/c").stat().st_mtime == 1_600_000_000


def test_where_one_file_is_expected_only_one_file_is_taken(here: Path) -> None:
    assert unpack(here, member("anything", content=b"x") + bytes(1024), only=b"name") == []
    assert (here / "name").read_text() == "x"
    with pytest.raises(GuestError, match="more than the one"):
        unpack(here, member("a", content=b"x") + member("b", content=b"x") + bytes(1024), only=b"name")
    with pytest.raises(GuestError, match="sent no file"):
        unpack(here, bytes(1024), only=b"name")
    assert unpack(here, link("a", "/etc/passwd") + bytes(1024), only=b"other") == ["a: not a regular file"]


NAMES = st.sampled_from(
    ["a", "b", "a/b", "way-out", "to-file", "way-out/x", "../x", "/x", ".", "a/..", "to-file/x", "a/b/c"]
)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
MEMBERS = st.lists(st.tuples(NAMES, KINDS, NAMES, st.binary(max_size=20)), max_size=8)


@given(members=MEMBERS, noise=st.binary(max_size=600), cut=st.integers(0, 3000))
def test_whatever_is_sent_nothing_outside_changes(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str, bytes]], noise: bytes, cut: int
) -> None:
    root = tmp_path_factory.mktemp("noise")
    (root / "outside").mkdir()
    (root / "outside/file").write_text(SECRET)
    (root / "in").mkdir()
    (root / "in/way-out").symlink_to("../outside")
    (root / "in/to-file").symlink_to("../outside/file")
    data = b"".join(
        member(name, kind, content, linkname=target if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else "")
        for name, kind, target, content in members
    )
    with contextlib.suppress(GuestError, OSError):
        unpack(root / "in", data[:cut] + noise + data[cut:])
    assert [path.name for path in (root / "outside").iterdir()] == ["file"]
    assert (root / "outside/file").read_text() == SECRET
    assert (root / "outside/file").stat().st_nlink == 1
    assert sorted(path.name for path in root.iterdir()) == ["in", "outside"]
    for path in (root / "in").rglob("*"):
        if path.is_symlink() and path.name not in {"way-out", "to-file"}:
            assert Path(os.path.realpath(path)).is_relative_to(root), path
