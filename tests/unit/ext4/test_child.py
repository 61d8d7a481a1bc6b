"""An image written by a child process is the same image, and its errors are the same errors."""

import dataclasses
import functools
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from banger.ext4 import ExtraEntry, ImageOptions, ImageStats, write_image
from banger.ext4.child import write_image_in_child
from banger.ext4.wire import decode_request, encode_request
from banger.model.errors import DeadlineError, HostError, NotFoundError, SpecError
from tests.unit.ext4.images import OPTIONS, Entry, tar_of

FULL = dataclasses.replace(
    OPTIONS,
    extra=(ExtraEntry("etc/x", 0o600, 1, 2, content=b"\xff\x00"), ExtraEntry("l", 0o777, kind="symlink", content=b"t")),
    remove=("a/**", "b"),
    subtree="sub",
    reserved_percent=3,
    size_bytes=1 << 30,
    root_mode=0o700,
)


def in_child(source: Path, dest: Path, options: ImageOptions, deadline_s: float = 60) -> ImageStats:
    return anyio.run(functools.partial(write_image_in_child, source, dest, options, deadline_s=deadline_s))


def test_a_request_survives_the_wire() -> None:
    assert decode_request(encode_request(Path("/a"), Path("/b"), FULL)) == (Path("/a"), Path("/b"), FULL)


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", encode_request(Path("a"), Path("b"), FULL).replace(b"0001", b"zz")]
)
def test_a_bad_request_is_answered_with_an_error(text: bytes) -> None:
    done = subprocess.run([sys.executable, "-I", "-m", "banger.ext4"], input=text, capture_output=True, check=True)
    assert b'"code":"spec"' in done.stdout
    assert b"ext4 request: " in done.stdout


def test_the_child_writes_the_same_image(tmp_path: Path) -> None:
    tar = tmp_path / "in.tar"
    tar.write_bytes(tar_of([Entry(b"sub/a", data=b"a" * 10_000), Entry(b"b")]))
    stats = in_child(tar, tmp_path / "child.img", FULL)
    assert stats == write_image(tar, tmp_path / "here.img", FULL)
    assert subprocess.run(["cmp", tmp_path / "child.img", tmp_path / "here.img"], check=False).returncode == 0


def test_errors_of_the_child_are_raised_here(tmp_path: Path) -> None:
    tar, image = tmp_path / "in.tar", tmp_path / "out.img"
    tar.write_bytes(tar_of([Entry(b"a/../b")]))
    with pytest.raises(SpecError, match=r"tar entry a/../b: the name contains '..'"):
        in_child(tar, image, OPTIONS)
    with pytest.raises(NotFoundError, match="no such tar"):
        in_child(tmp_path / "missing", image, OPTIONS)
    tar.write_bytes(tar_of([Entry(b"a")]))
    with pytest.raises(HostError, match="cannot be written: No such file or directory"):
        in_child(tar, tmp_path / "no" / "where.img", OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["in.tar"]


def test_a_child_past_its_deadline_leaves_nothing(tmp_path: Path) -> None:
    tar = tmp_path / "in.tar"
    tar.write_bytes(tar_of([Entry(b"%05d" % n) for n in range(20_000)]))
    with pytest.raises(DeadlineError):
        in_child(tar, tmp_path / "out.img", OPTIONS, deadline_s=0.4)
    assert [path.name for path in tmp_path.iterdir()] == ["in.tar"]
