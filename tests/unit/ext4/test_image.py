"""The kernel and e2fsck find in an image what the tar holds."""

import dataclasses
import hashlib
import io
import os
import stat
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from banger.ext4 import ExtraEntry, write_image
from banger.ext4.options import ImageOptions
from banger.model.errors import NotFoundError, SpecError
from tests.unit.ext4.images import OPTIONS, TIME, Entry, Seen, assert_clean, debugfs, mounted, read_back, tar_of

GIB = 1024**3
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, 0xFFFFFFFF), (2, 4, 1000), (4, 4, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
)
DIR = tarfile.DIRTYPE
LINK = tarfile.LNKTYPE
SYMLINK = tarfile.SYMTYPE


def make(tmp_path: Path, entries: list[Entry], options: ImageOptions = OPTIONS, tar_format: int = 2) -> Path:
    tar = tmp_path / "in.tar"
    tar.write_bytes(tar_of(entries, tar_format))
    image = tmp_path / "out.img"
    write_image(tar, image, options)
    assert_clean(image)
    return image


EVERYTHING = [
    Entry(b"./", DIR, mode=0o751),
    Entry(b"./bin/", DIR, mode=0o755, uid=1, gid=2),
    Entry(b"./bin/su", data=b"#!" * 3000, mode=0o4755),
    Entry(b"bin/empty"),
    Entry(b"bin/exact", data=os.urandom(8192)),
    Entry(b"bin/su.hard", LINK, link=b"./bin/su"),
    Entry(b"bin/fast", SYMLINK, link=b"a" * 59, mode=0o777),
    Entry(b"bin/slow", SYMLINK, link=b"b" * 60, mode=0o777),
    Entry(b"bin/slowest", SYMLINK, link=b"c/" * 2047, mode=0o777),
    Entry(b"bin/hard.symlink", LINK, link=b"bin/fast"),
    Entry(b"dev/null", tarfile.CHRTYPE, mode=0o666, device=(1, 3)),
    Entry(b"dev/big", tarfile.BLKTYPE, mode=0o660, device=(259, 70000)),
    Entry(b"dev/fifo", tarfile.FIFOTYPE, mode=0o600),
    Entry(b"home/far", uid=4_000_000_000, gid=70_000, mtime=TIME - 0.25),
    Entry(b"home/old", mtime=-86400),
    Entry(b"home/future", mtime=TIME + 5),
    Entry(b"sticky/", DIR, mode=0o1777),
    Entry(b"names/" + b"n" * 255, data=b"long"),
    Entry(b"names/\xff\xfe raw", data=b"not utf-8"),
    Entry(b"names/new\nline'\"quote", data=b"q"),
    Entry(b"cap", xattrs={"security.capability": CAPABILITY}, mode=0o755),
    Entry(b"many", xattrs={f"user.attribute{n}": b"v" * n for n in range(1, 40)}),
    Entry(b"acl", xattrs={"system.posix_acl_access": ACL}, mode=0o640),
    Entry(b"trusted/", DIR, xattrs={"trusted.overlay.opaque": b"y", "user.empty": b""}),
    Entry(b"late.link", LINK, link=b"late.target"),
    Entry(b"late.target", data=b"later"),
]
TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    DIR: stat.S_IFDIR,
    SYMLINK: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


def path_of(entry: Entry) -> bytes:
    return entry.name.removeprefix(b"./").rstrip(b"/")


def assert_holds(seen: dict[bytes, Seen], entries: list[Entry]) -> None:
    by_path = {path_of(entry): entry for entry in entries}
    for path, entry in by_path.items():
        original = entry
        while original.kind == LINK:
            original = by_path[original.link.removeprefix(b"./")]
        found = seen[path]
        assert found.mode == TYPES[original.kind] | original.mode, path
        assert (found.uid, found.gid) == (original.uid, original.gid), path
        assert found.mtime_ns == min(int(original.mtime * 1000) * 1_000_000, TIME * 1_000_000_000), path
        assert found.rdev == original.device, path
        assert found.content == (original.link if original.kind == SYMLINK else original.data), path
        assert found.xattrs == original.xattrs, path
        if entry.kind == LINK:
            assert found.same_file == seen[path_of(original)].same_file, path


@pytest.mark.root
def test_the_kernel_sees_every_kind_of_entry_as_the_tar_has_it(tmp_path: Path) -> None:
    seen = read_back(make(tmp_path, EVERYTHING))
    assert_holds(seen, EVERYTHING)
    implied = {b"bin", b"dev", b"home", b"names", b""}
    assert set(seen) == {path_of(entry) for entry in EVERYTHING} | implied


@pytest.mark.root
@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_format_is_read(tmp_path: Path, tar_format: int) -> None:
    long_name = b"/".join([b"d" * 60] * 2 + [b"f" * 90])
    entries = [
        Entry(b"a", data=b"x" * 700, uid=1000, gid=1000),
        Entry(long_name, data=b"y"),
        Entry(b"l", SYMLINK, link=b"t" * 99, mode=0o777),
    ]
    if tar_format != tarfile.USTAR_FORMAT:
        entries += [
            Entry(b"/".join([b"e" * 200] * 4), data=b"z", uid=3_000_000_000, mtime=-5),
            Entry(b"hard", LINK, link=b"/".join([b"e" * 200] * 4)),
            Entry(b"s", SYMLINK, link=b"u" * 300, mode=0o777),
        ]
    assert_holds(read_back(make(tmp_path, entries, tar_format=tar_format)), entries)


def test_equal_inputs_give_equal_bytes_and_the_order_of_members_does_not_matter(tmp_path: Path) -> None:
    def digest(entries: list[Entry]) -> str:
        return hashlib.sha256(make(tmp_path, entries).read_bytes()).hexdigest()

    assert digest(EVERYTHING) == digest(EVERYTHING)
    assert digest(EVERYTHING) == digest(list(reversed(EVERYTHING)))


def test_a_debugfs_dump_gives_the_content_back(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    image = make(tmp_path, [Entry(b"deep/er/file", data=content)])
    out = tmp_path / "dumped"
    debugfs(image, f"dump /deep/er/file {out}")
    assert out.read_bytes() == content


def test_a_stream_gives_the_same_image_as_a_file(tmp_path: Path) -> None:
    image = make(tmp_path, EVERYTHING)
    stats = write_image(io.BytesIO((tmp_path / "in.tar").read_bytes()), tmp_path / "stream.img", OPTIONS)
    assert (tmp_path / "stream.img").read_bytes() == image.read_bytes()
    assert stats.size_bytes == image.stat().st_size


def test_a_directory_of_5000_entries_is_sound(tmp_path: Path) -> None:
    entries = [Entry(b"info/%05d-%s" % (n, b"x" * (n % 60)), data=b"%d" % n) for n in range(5000)]
    image = make(tmp_path, entries)
    assert debugfs(image, "cat /info/04999-" + "x" * (4999 % 60)) == "4999"


def test_a_sparse_file_of_300_mib_takes_only_its_data(tmp_path: Path) -> None:
    tar, image = tmp_path / "in.tar", tmp_path / "out.img"
    size = 300 * 1024**2
    with tarfile.open(tar, "w") as archive:
        info = tarfile.TarInfo("disk")
        info.size = size
        archive.addfile(info, io.BytesIO(b"head".ljust(size - 4, b"\0") + b"tail"))
    stats = write_image(tar, image, OPTIONS)
    assert_clean(image)
    assert stats.written_bytes < 4 * 1024**2
    assert stats.size_bytes < 100 * 1024**2
    assert f"Size: {size}" in debugfs(image, "stat /disk")
    assert debugfs(image, "stat /disk").count("Blockcount: 16\n") == 1


def test_a_file_with_2000_holes_gets_a_tree_of_extents(tmp_path: Path) -> None:
    content = (b"d" * 4096 + bytes(64 * 1024)) * 2000
    image = make(tmp_path, [Entry(b"holes", data=content)])
    assert "ETB1" in debugfs(image, "stat /holes")
    debugfs(image, f"dump /holes {tmp_path / 'dumped'}")
    assert (tmp_path / "dumped").read_bytes() == content


def test_a_file_larger_than_an_extent_is_whole(tmp_path: Path) -> None:
    size = 700 * 1024**2
    tar, image = tmp_path / "in.tar", tmp_path / "out.img"
    block = bytes(range(1, 256)) * 4112
    with tarfile.open(tar, "w") as archive:
        info = tarfile.TarInfo("large")
        info.size = size
        archive.addfile(info, _Repeated(block, size))
    write_image(tar, image, OPTIONS)
    assert_clean(image)
    debugfs(image, f"dump /large {tmp_path / 'dumped'}")
    assert (
        subprocess.run(["tar", "-xOf", tar, "large"], capture_output=True, check=True).stdout
        == (tmp_path / "dumped").read_bytes()
    )


class _Repeated(io.RawIOBase):
    def __init__(self, block: bytes, size: int) -> None:
        self._block, self._left = block, size

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return (self._block * (size // len(self._block) + 1))[:size]


def test_a_later_entry_replaces_an_earlier_one(tmp_path: Path) -> None:
    entries = [
        Entry(b"a", data=b"first"),
        Entry(b"b", LINK, link=b"a"),
        Entry(b"a", data=b"second"),
        Entry(b"d/inside", data=b"gone"),
        Entry(b"d", data=b"now a file"),
        Entry(b"e/kept", data=b"kept"),
        Entry(b"e/", DIR, mode=0o700),
    ]
    image = make(tmp_path, entries)
    assert [debugfs(image, f"cat /{name}") for name in ("a", "b", "d", "e/kept")] == [
        "second",
        "first",
        "now a file",
        "kept",
    ]
    assert "Mode:  0700" in debugfs(image, "stat /e")


def test_paths_are_removed_by_pattern(tmp_path: Path) -> None:
    kept = [b"etc/ssh/sshd_config", b"var/cache/apt/.keep/x", b"root/", b"usr/a/b/c.txt"]
    dropped = [b"etc/ssh/ssh_host_rsa", b"var/cache/apt2/x/y", b"root/.profile", b"root/a/b", b"usr/a/b/c.pyc"]
    options = dataclasses.replace(
        OPTIONS, remove=("etc/ssh/ssh_host_*", "var/cache/apt?", "root/**", "usr/**/*.pyc", "nothing/here")
    )
    image = make(tmp_path, [Entry(name, DIR if name.endswith(b"/") else b"0") for name in kept + dropped], options)
    for name in kept:
        assert "Inode:" in debugfs(image, f"stat /{name.decode()}"), name
    for name in dropped:
        assert "Inode:" not in debugfs(image, f"stat /{name.decode()}"), name


def test_a_subtree_becomes_the_root(tmp_path: Path) -> None:
    entries = [Entry(b"root/", DIR, mode=0o700, uid=5), Entry(b"root/.profile", data=b"hi"), Entry(b"etc/passwd")]
    image = make(tmp_path, entries, dataclasses.replace(OPTIONS, subtree="root"))
    assert debugfs(image, "cat /.profile") == "hi"
    assert "Mode:  0700" in debugfs(image, "stat /")
    assert "Inode:" not in debugfs(image, "stat /etc")


def test_a_missing_subtree_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no directory root in it"):
        make(tmp_path, [Entry(b"etc/passwd")], dataclasses.replace(OPTIONS, subtree="root"))


def test_extra_entries_are_put_over_the_tars(tmp_path: Path) -> None:
    extra = (
        ExtraEntry("etc/hostname", 0o600, 1, 2, content=b"banger"),
        ExtraEntry("etc/resolv.conf", 0o777, kind="symlink", content=b"/run/resolv.conf"),
        ExtraEntry("new/dir", 0o711, kind="dir"),
    )
    image = make(tmp_path, [Entry(b"etc/hostname", data=b"old")], dataclasses.replace(OPTIONS, extra=extra))
    assert debugfs(image, "cat /etc/hostname") == "banger"
    assert "User:     1   Group:     2" in debugfs(image, "stat /etc/hostname")
    assert 'Fast link dest: "/run/resolv.conf"' in debugfs(image, "stat /etc/resolv.conf")
    assert "Mode:  0711" in debugfs(image, "stat /new/dir")


def test_a_tar_without_a_root_entry_gets_the_stated_mode(tmp_path: Path) -> None:
    image = make(tmp_path, [Entry(b"a")], dataclasses.replace(OPTIONS, root_mode=0o700))
    assert "Mode:  0700" in debugfs(image, "stat /")


@pytest.mark.parametrize("size_bytes", [24 * 1024**2, 100_003_840, GIB, 8 * GIB, 17 * GIB + 4 * 1024**2, 64 * GIB])
def test_an_image_of_any_stated_size_is_sound_and_grows(tmp_path: Path, size_bytes: int) -> None:
    image = make(tmp_path, EVERYTHING, dataclasses.replace(OPTIONS, size_bytes=size_bytes))
    assert image.stat().st_size == size_bytes
    assert image.stat().st_blocks * 512 < 12 * 1024**2
    subprocess.run(["resize2fs", image, "70G"], check=True, capture_output=True)
    assert_clean(image)


def test_reserved_blocks_and_the_label_are_in_the_superblock(tmp_path: Path) -> None:
    image = make(tmp_path, [], dataclasses.replace(OPTIONS, size_bytes=GIB, reserved_percent=5))
    shown = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True, check=True).stdout
    assert "Reserved block count:     13107\n" in shown
    assert "Filesystem volume name:   test\n" in shown
    assert "Filesystem UUID:          00010203-0405-0607-0809-0a0b0c0d0e0f\n" in shown


def test_a_size_that_is_too_small_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"too small: the content needs 73\d\d blocks"):
        make(tmp_path, [Entry(b"f", data=b"x" * 30_000_000)], dataclasses.replace(OPTIONS, size_bytes=24 * 1024**2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tar"]


@pytest.mark.root
def test_the_kernel_writes_to_an_image_and_it_stays_sound(tmp_path: Path) -> None:
    entries = [Entry(b"big/%04d" % n, data=b"x") for n in range(300)] + EVERYTHING
    image = make(tmp_path, entries)
    with mounted(image) as root:
        for n in range(2000):
            (root / "big" / f"new{n}").write_bytes(b"y" * 5000)
        (root / "bin" / "su").unlink()
        os.setxattr(root / "many", "user.more", b"z" * 500)
        (root / "cap").rename(root / "home" / "cap")
    assert_clean(image)
