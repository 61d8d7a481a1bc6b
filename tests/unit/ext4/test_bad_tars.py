"""Every way in which a tar can be bad is one error that names the entry, and leaves no file."""

import io
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from banger.ext4 import ImageOptions, write_image
from banger.ext4 import tree as tree_module
from banger.model.errors import HostError, SpecError
from tests.unit.ext4.images import OPTIONS, Entry, tar_of

LINK, SYMLINK, DIR = tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE
GOOD = tar_of([Entry(b"first", data=b"x" * 1000), Entry(b"second", data=b"y" * 1000)])


def summed(block: bytes) -> bytes:
    """A header with its checksum made right."""
    total = sum(block[:148]) + 8 * 0x20 + sum(block[156:512])
    return block[:148] + b"%06o\0 " % total + block[156:]


def patched(offset: int, value: bytes) -> bytes:
    """The good tar with a field of its first header replaced."""
    return summed(GOOD[:offset] + value + GOOD[offset + len(value) : 512]) + GOOD[512:]


def extended(kind: bytes, body: bytes) -> bytes:
    """The good tar behind an extended header."""
    info = tarfile.TarInfo("././@header")
    info.type, info.size = kind, len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body.ljust(-(-len(body) // 512) * 512, b"\0") + GOOD


def record(key: bytes, value: bytes) -> bytes:
    """One PAX record."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 2 + (len(body) > 97)
    return b"%d" % length + body


BAD = {
    "nothing": (b"", "tar: it is empty"),
    "no tar": (b"gzip?" * 500, "header after the beginning is damaged"),
    "cut within a header": (GOOD[:700], "tar entry first: cut short"),
    "cut within content": (GOOD[:1200], "tar entry first: cut short: the tar ends within its content"),
    "cut between members": (GOOD[:1536], "tar: cut short after first"),
    "cut before the end": (GOOD[:3072], "tar: cut short after second: there is no end-of-archive block"),
    "damaged header": (GOOD[:10] + b"!" + GOOD[11:], "its checksum is wrong"),
    "damaged second header": (GOOD[:1546] + b"!" + GOOD[1547:], "the header after first is damaged"),
    "bad size": (patched(124, b"9x"), "its size is not an octal number"),
    "negative size": (patched(124, b"\xff" * 12), "tar entry first: its size is negative"),
    "huge size": (patched(124, b"\x80" + b"\x7f" * 11), "tar entry first: cut short"),
    "bad mode": (patched(100, b"rwx"), "tar entry first: its mode is not an octal number"),
    "owner out of range": (patched(108, b"\x80\0\0\0\xff\xff\xff\xff"), "owner 4294967295 is out of range"),
    "negative owner": (patched(108, b"\xff" * 8), "owner -1 is out of range"),
    "unknown type": (patched(156, b"Z"), "tar entry first: type 'Z' is not supported"),
    "old sparse type": (patched(156, b"S"), "type 'S' is not supported"),
    "absolute": (tar_of([Entry(b"/etc/passwd")]), "tar entry /etc/passwd: the name is absolute"),
    "dots": (tar_of([Entry(b"a/../../b")]), "tar entry a/../../b: the name contains '..'"),
    "long component": (tar_of([Entry(b"n" * 256)]), "a component is longer than 255 bytes"),
    "long path": (tar_of([Entry(b"n/" * 2050 + b"x")]), "the name is longer than 4095 bytes"),
    "below a file": (tar_of([Entry(b"f"), Entry(b"f/x")]), "tar entry f/x: its parent f is not a directory"),
    "below a symlink": (
        tar_of([Entry(b"s", SYMLINK, link=b"/etc"), Entry(b"s/passwd")]),
        "tar entry s/passwd: its parent s is a symlink",
    ),
    "below a symlink that was a directory": (
        tar_of([Entry(b"s/a"), Entry(b"s", SYMLINK, link=b"/etc"), Entry(b"s/passwd")]),
        "tar entry s/passwd: its parent s is a symlink",
    ),
    "below a hard link": (
        tar_of([Entry(b"s", LINK, link=b"later"), Entry(b"s/x")]),
        "tar entry s/x: its parent s is not a directory",
    ),
    "link to nothing": (
        tar_of([Entry(b"h", LINK, link=b"gone")]),
        "tar entry h: hard link to gone, which is not in the tar",
    ),
    "link to itself": (tar_of([Entry(b"h", LINK, link=b"./h")]), "tar entry h: hard link to itself"),
    "links in a circle": (
        tar_of([Entry(b"a", LINK, link=b"b"), Entry(b"b", LINK, link=b"c"), Entry(b"c", LINK, link=b"a")]),
        "tar entry a: its hard links lead to one another in a circle",
    ),
    "link to a directory": (
        tar_of([Entry(b"d", DIR), Entry(b"h", LINK, link=b"d")]),
        "tar entry h: hard link to a directory",
    ),
    "late link to a directory": (
        tar_of([Entry(b"h", LINK, link=b"d"), Entry(b"d", DIR)]),
        "tar entry h: hard link to a directory",
    ),
    "link out of the tree": (
        tar_of([Entry(b"h", LINK, link=b"../etc/shadow")]),
        "tar entry ../etc/shadow: hard link from h: the name contains '..'",
    ),
    "empty symlink": (tar_of([Entry(b"s", SYMLINK)]), "tar entry s: its symlink target is empty"),
    "long symlink": (tar_of([Entry(b"s", SYMLINK, link=b"t" * 4096)]), "tar entry s: its symlink target is empty, too"),
    "too many links": (
        tar_of([Entry(b"f"), *(Entry(b"%d" % n, LINK, link=b"f") for n in range(65000))]),
        "more than 65000 hard links to one file",
    ),
    "device out of range": (
        patched(156, b"3")[:329]
        and summed(patched(156, b"3")[:329] + b"7777777\0" + patched(156, b"3")[337:512]) + GOOD,
        "tar entry first: device 2097151:0 is out of range",
    ),
    "root is a file": (tar_of([Entry(b"./", SYMLINK, link=b"x")]), "the root is not a directory"),
    "lost+found is a file": (tar_of([Entry(b"lost+found")]), "tar entry lost+found: must be a directory"),
    "control characters": (tar_of([Entry(b"/a\x1b[2Jb\n")]), r"tar entry /a\x1b[2Jb\n: the name is absolute"),
    "NUL in a PAX path": (extended(b"x", record(b"path", b"a\0b")), r"tar entry a\x00b: the name contains a NUL byte"),
    "NUL in a PAX link": (
        extended(b"x", record(b"linkpath", b"a\0b"))[:1024] + patched(156, b"2"),
        "its symlink target is empty, too long or contains a NUL byte",
    ),
    "PAX without an equals sign": (extended(b"x", b"6 abc\n"), "its PAX header is malformed at byte 0"),
    "PAX with a wrong length": (extended(b"x", record(b"path", b"a") + b"99 b=c\n"), "malformed at byte 10"),
    "PAX with a zero length": (extended(b"x", b"0 a=b\n"), "its PAX header is malformed at byte 0"),
    "PAX with a bad size": (extended(b"x", record(b"size", b"-1")), "tar entry first: PAX size is not a number: -1"),
    "PAX with a bad time": (extended(b"x", record(b"mtime", b"1.2.3")), "PAX mtime is not a time: 1.2.3"),
    "PAX sparse": (extended(b"x", record(b"GNU.sparse.major", b"1")), "GNU sparse files are not supported"),
    "PAX header too large": (extended(b"x", b"\0" * (1 << 21)), "cut short or too large"),
    "PAX header cut short": (extended(b"x", record(b"path", b"a" * 600))[:900], "cut short or too large"),
    "long name cut short": (extended(b"L", b"a" * 600)[:900], "cut short or too large"),
    "long name with dots": (extended(b"L", b"../" * 50 + b"\0"), "the name contains '..'"),
    "attributes too large": (
        tar_of([Entry(b"x", xattrs={"user.a": b"v" * 3000, "user.b": b"v" * 1100})]),
        "tar entry x: its extended attributes do not fit into 4096 bytes",
    ),
    "attribute with a long name": (
        tar_of([Entry(b"x", xattrs={"user." + "a" * 256: b"v"})]),
        "tar entry x: the name of an extended attribute is too long",
    ),
    "malformed ACL": (
        tar_of([Entry(b"x", xattrs={"system.posix_acl_access": b"abc"})]),
        "tar entry x: its POSIX ACL is malformed",
    ),
    "unknown ACL": (
        tar_of([Entry(b"x", xattrs={"system.posix_acl_access": struct.pack("<IHHI", 2, 3, 0, 0)})]),
        "tar entry x: its POSIX ACL has an unknown tag 0x3",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_tar_is_refused_by_name_and_leaves_no_file(tmp_path: Path, name: str) -> None:
    tar, message = BAD[name]
    source = tmp_path / "in.tar"
    source.write_bytes(tar)
    with pytest.raises(SpecError) as caught:
        write_image(source, tmp_path / "out.img", OPTIONS)
    assert message in caught.value.message
    assert caught.value.message.isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["in.tar"]


def test_a_failure_keeps_the_image_that_was_there(tmp_path: Path) -> None:
    image = tmp_path / "out.img"
    image.write_bytes(b"the old one")
    with pytest.raises(SpecError):
        write_image(io.BytesIO(GOOD[:-9000]), image, OPTIONS)
    assert image.read_bytes() == b"the old one"


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    body = GOOD.rstrip(b"\0")
    for length in range(1, len(body), 97):
        with pytest.raises(SpecError):
            write_image(io.BytesIO(body[:length]), tmp_path / "out.img", OPTIONS)


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "MAX_INODES", 3)
    tar = io.BytesIO(tar_of([Entry(b"%d" % n) for n in range(4)]))
    with pytest.raises(SpecError, match="tar entry 3: more than 3 entries"):
        write_image(tar, tmp_path / "out.img", OPTIONS)


def test_more_content_than_64_gib_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.tar"
    with source.open("wb") as file:
        for name in ("one", "two"):
            info = tarfile.TarInfo(name)
            info.size = 33 * 1024**3
            file.write(info.tobuf(tarfile.GNU_FORMAT))
            file.seek(info.size, io.SEEK_CUR)
        file.write(bytes(1024))
    with pytest.raises(SpecError, match="tar entry two: more than 64 GiB of content"):
        write_image(source, tmp_path / "out.img", OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uuid": b""}, "uuid: must be 16 bytes"),
        ({"hash_seed": b"x" * 17}, "hash_seed: must be 16 bytes"),
        ({"label": "x" * 17}, "label: must be at most 16 bytes"),
        ({"time": -1}, "time: must be between 1970 and 2106"),
        ({"size_bytes": 65 * 1024**3}, "size_bytes: must be at most 64 GiB"),
        ({"reserved_percent": 51}, "reserved_percent: must be between 0 and 50"),
        ({"root_mode": 0o17777}, "root_mode: must be between 0 and 07777"),
    ],
)
def test_an_option_out_of_range_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {"uuid": bytes(16), "hash_seed": bytes(16), **change}
    with pytest.raises(SpecError, match=message):
        write_image(io.BytesIO(GOOD), tmp_path / "out.img", ImageOptions(**fields))  # type: ignore[arg-type]


@pytest.mark.root
def test_a_full_disk_is_the_hosts_error_and_leaves_no_file(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    source = tmp_path / "in.tar"
    source.write_bytes(tar_of([Entry(b"f", data=b"x" * 3_000_000)]))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", full], check=True)
    try:
        with pytest.raises(HostError, match=r"out.img: cannot be written: No space left on device"):
            write_image(source, full / "out.img", OPTIONS)
        assert list(full.iterdir()) == []
    finally:
        subprocess.run(["umount", full], check=True)


def test_a_missing_folder_is_the_hosts_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot hold a copy of the tar: No such file or directory"):
        write_image(io.BytesIO(GOOD), tmp_path / "missing" / "out.img", OPTIONS)
