"""Layers on top of one another: what hides what, by hand-made cases that others got wrong."""

import dataclasses
import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from banger.layers.finish import finish_image
from banger.layers.guest import banger_request
from banger.layers.merge import Root
from banger.layers.options import DEFAULT_LIMITS
from banger.layers.placer import Placer
from banger.layers.reader import LayerReader
from banger.model.errors import SpecError
from tests.unit.ext4.images import OPTIONS, TIME, Entry, Seen, assert_clean, tar_of
from tests.unit.layers.images import DIR, LINK, SYMLINK, flatten_here, layer_of, layers_of, tree_of

OPAQUE = b".wh..wh..opq"
LOWER = [Entry(b"d", DIR, mode=0o711), Entry(b"d/a", data=b"a"), Entry(b"d/b", data=b"b"), Entry(b"f", data=b"f")]

Tree = dict[bytes, bytes]
"""Paths and contents of files; other entries have a short word instead."""

WITH_C: Tree = {b"d": b"dir", b"d/c": b"c", b"f": b"f"}
CASES: dict[str, tuple[list[list[Entry]], Tree]] = {
    "whiteout": ([LOWER, [Entry(b"d/.wh.a")]], {b"d": b"dir", b"d/b": b"b", b"f": b"f"}),
    "whiteout of a directory": ([LOWER, [Entry(b".wh.d")]], {b"f": b"f"}),
    "whiteout of nothing": ([LOWER, [Entry(b"d/.wh.x"), Entry(b"x/.wh.y"), Entry(b"f/.wh.z")]], {}),
    "whiteout and again, before": ([LOWER, [Entry(b".wh.f"), Entry(b"f", data=b"2")]], {b"f": b"2"}),
    "whiteout and again, after": ([LOWER, [Entry(b"f", data=b"2"), Entry(b".wh.f")]], {b"f": b"2"}),
    "whiteout of a directory and again": (
        [LOWER, [Entry(b"d/c", data=b"c"), Entry(b".wh.d")]],
        WITH_C,
    ),
    "opaque first": (
        [LOWER, [Entry(b"d/" + OPAQUE), Entry(b"d/c", data=b"c")]],
        WITH_C,
    ),
    "opaque last": (
        [LOWER, [Entry(b"d/c", data=b"c"), Entry(b"d/" + OPAQUE)]],
        WITH_C,
    ),
    "opaque between": (
        [LOWER, [Entry(b"d/c", data=b"c"), Entry(b"d/" + OPAQUE), Entry(b"d/e", data=b"e")]],
        {b"d": b"dir", b"d/c": b"c", b"d/e": b"e", b"f": b"f"},
    ),
    "opaque root": ([LOWER, [Entry(OPAQUE), Entry(b"n", data=b"n")]], {b"n": b"n"}),
    "opaque a thousand times": ([LOWER, [Entry(b"d/" + OPAQUE)] * 1000], {b"d": b"dir", b"f": b"f"}),
    "opaque of what is no directory": ([LOWER, [Entry(b"f/" + OPAQUE), Entry(b"no/" + OPAQUE)]], {}),
    "opaque below a whiteout": ([LOWER, [Entry(b".wh.d"), Entry(b"d/" + OPAQUE)]], {b"f": b"f"}),
    "two opaque layers": (
        [LOWER, [Entry(b"d/" + OPAQUE), Entry(b"d/c")], [Entry(b"d/" + OPAQUE), Entry(b"d/e", data=b"e")]],
        {b"d": b"dir", b"d/e": b"e", b"f": b"f"},
    ),
    "whiteout in the lowest layer": ([[Entry(b"f", data=b"f"), Entry(b".wh.f")]], {b"f": b"f"}),
    "whiteout, two layers above": (
        [LOWER, [Entry(b"x")], [Entry(b".wh.f"), Entry(b".wh.d")]],
        {b"x": b""},
    ),
    "AUFS's own names": ([[Entry(b".wh..wh.aufs"), Entry(b".wh..wh.plnk/1.2"), Entry(b"f", data=b"f")]], {b"f": b"f"}),
    "directory to file": ([LOWER, [Entry(b"d", data=b"now")]], {b"d": b"now", b"f": b"f"}),
    "directory to symlink": ([LOWER, [Entry(b"d", SYMLINK, link=b"f")]], {b"d": b"-> f", b"f": b"f"}),
    "file to directory": (
        [[Entry(b"f", data=b"f")], [Entry(b"f", DIR), Entry(b"f/x", data=b"x")]],
        {b"f": b"dir", b"f/x": b"x"},
    ),
    "symlink to directory": (
        [[Entry(b"t", DIR), Entry(b"s", SYMLINK, link=b"t")], [Entry(b"s", DIR), Entry(b"s/x", data=b"x")]],
        {b"t": b"dir", b"s": b"dir", b"s/x": b"x"},
    ),
    "symlink to file": ([[Entry(b"s", SYMLINK, link=b"/etc/passwd")], [Entry(b"s", data=b"x")]], {b"s": b"x"}),
    "device to file": ([[Entry(b"n", tarfile.CHRTYPE, device=(1, 3))], [Entry(b"n", data=b"x")]], {b"n": b"x"}),
    "directory keeps what is below": ([LOWER, [Entry(b"d", DIR, mode=0o700)]], {}),
    "usr-merge": (
        [[Entry(b"usr/lib/a", data=b"a"), Entry(b"lib", SYMLINK, link=b"usr/lib")], [Entry(b"lib/b", data=b"b")]],
        {b"usr": b"dir", b"usr/lib": b"dir", b"usr/lib/a": b"a", b"usr/lib/b": b"b", b"lib": b"-> usr/lib"},
    ),
    "usr-merge, whiteout": (
        [[Entry(b"usr/lib/a", data=b"a"), Entry(b"lib", SYMLINK, link=b"/usr/lib")], [Entry(b"lib/.wh.a")]],
        {b"usr": b"dir", b"usr/lib": b"dir", b"lib": b"-> /usr/lib"},
    ),
    "below a symlink to nowhere": (
        [[Entry(b"s", SYMLINK, link=b"no/where")], [Entry(b"s/x", data=b"x")]],
        {b"s": b"-> no/where", b"no": b"dir", b"no/where": b"dir", b"no/where/x": b"x"},
    ),
    "below a symlink out of the root": (
        [[Entry(b"s", SYMLINK, link=b"../../../../etc")], [Entry(b"s/x", data=b"x")]],
        {b"s": b"-> ../../../../etc", b"etc": b"dir", b"etc/x": b"x"},
    ),
    "absolute name": ([[Entry(b"/etc/x", data=b"x")]], {b"etc": b"dir", b"etc/x": b"x"}),
    "last duplicate wins": (
        [[Entry(b"f", data=b"1"), Entry(b"f", data=b"22"), Entry(b"f", data=b"333")]],
        {b"f": b"333"},
    ),
    "hard link to a lower layer": (
        [LOWER, [Entry(b"h", LINK, link=b"d/a")], [Entry(b".wh.d")]],
        {b"h": b"a", b"f": b"f"},
    ),
    "hard link, then its target again": (
        [[Entry(b"a", data=b"1"), Entry(b"b", LINK, link=b"a"), Entry(b"a", data=b"2")]],
        {b"a": b"2", b"b": b"1"},
    ),
    "hard link, then its target in a layer above": (
        [[Entry(b"a", data=b"1"), Entry(b"b", LINK, link=b"a")], [Entry(b"a", data=b"2")]],
        {b"a": b"2", b"b": b"1"},
    ),
    "hard link to a device": (
        [[Entry(b"n", tarfile.CHRTYPE, device=(4095, 1048575)), Entry(b"m", LINK, link=b"n")]],
        {b"n": b"device", b"m": b"device"},
    ),
    "hard link through a symlink": (
        [[Entry(b"d/a", data=b"a"), Entry(b"s", SYMLINK, link=b"/d"), Entry(b"h", LINK, link=b"s/a")]],
        {b"d": b"dir", b"d/a": b"a", b"s": b"-> /d", b"h": b"a"},
    ),
    "marker that looks like a whiteout": (  # a parser that strips `.wh.` from the marker hides `.wh..opq`
        [[Entry(b"d/x", data=b"x"), Entry(b"d/y")], [Entry(b"d/" + OPAQUE)]],
        {b"d": b"dir"},
    ),
}
ALL_OF_LOWER: Tree = {b"d": b"dir", b"d/a": b"a", b"d/b": b"b", b"f": b"f"}
KEEP_LOWER = {"whiteout and again, before", "whiteout and again, after"}
SAME = {"whiteout of nothing", "opaque of what is no directory", "directory keeps what is below"}


@pytest.mark.requirement("IMG-011")
@pytest.mark.root
@pytest.mark.parametrize("name", CASES)
def test_layers_become_the_tree_that_they_mean(tmp_path: Path, name: str) -> None:
    layers, expected = CASES[name]
    if name in SAME:
        expected = ALL_OF_LOWER
    elif name in KEEP_LOWER:
        expected = {**ALL_OF_LOWER, **expected}
    image = tmp_path / "out.img"
    flatten_here(layers_of(tmp_path, layers), image)
    assert_clean(image)
    assert {path: word_for(seen) for path, seen in tree_of(image).items() if path} == expected


def word_for(seen: Seen) -> bytes:
    kind = seen.mode >> 12
    if kind == 0o12:
        return b"-> " + seen.content
    return {0o10: seen.content, 0o04: b"dir"}.get(kind, b"device")


def test_a_hard_link_to_what_the_same_layer_hides_is_refused(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, [LOWER, [Entry(b"h", LINK, link=b"f"), Entry(b".wh.f")]])
    with pytest.raises(SpecError, match=r"layer .*: tar entry h: hard link to f, which is not there"):
        flatten_here(layers, tmp_path / "out.img")


@pytest.mark.root
def test_hidden_files_leave_no_blocks_and_no_bytes(tmp_path: Path) -> None:
    secret = os.urandom(3_000_000)
    layers = layers_of(tmp_path, [[Entry(b"secret", data=secret), Entry(b"f", data=b"f")], [Entry(b".wh.secret")]])
    image = tmp_path / "out.img"
    flatten_here(layers, image)
    assert_clean(image)
    assert secret[:64] not in image.read_bytes()
    assert image.stat().st_blocks * 512 < 2_000_000
    assert list(tree_of(image)) == [b"", b"f"]


@pytest.mark.root
def test_attributes_are_those_of_the_last_entry(tmp_path: Path) -> None:
    lower = [
        Entry(b"d", DIR, mode=0o700, uid=1, mtime=TIME - 5, xattrs={"user.old": b"1"}),
        Entry(b"d/f", data=b"x", mode=0o4755, uid=3_000_000_000, gid=4_000_000_000, mtime=1 << 33),
    ]
    upper = [Entry(b"d", DIR, mode=0o1777, uid=2, mtime=7, xattrs={"user.new": b"2", "trusted.overlay.opaque": b"y"})]
    image = tmp_path / "out.img"
    flatten_here(layers_of(tmp_path, [lower, upper]), image)
    seen = tree_of(image)
    assert (seen[b"d"].mode, seen[b"d"].uid, seen[b"d"].mtime_ns) == (0o41777, 2, 7_000_000_000)
    assert seen[b"d"].xattrs == {"user.new": b"2"}
    found = seen[b"d/f"]
    assert (found.mode, found.uid, found.gid) == (0o104755, 3_000_000_000, 4_000_000_000)
    assert found.mtime_ns == (1 << 33) * 1_000_000_000


@pytest.mark.parametrize("piece_bytes", [1, 511, 512, 513, 4099])
def test_where_the_tar_is_cut_into_pieces_does_not_matter(tmp_path: Path, piece_bytes: int) -> None:
    content = b"".join(
        part * 4096 * count for part, count in ((b"a", 3), (b"\0", 40), (b"b", 1), (b"\0", 5), (b"c", 17))
    )
    tar = tar_of([Entry(b"big", data=content + b"tail"), *(Entry(b"%d" % n, data=b"y" * 37 * n) for n in range(200))])
    if piece_bytes == 1:
        tar = tar_of([Entry(b"big", data=b"z" * 5000), Entry(b"n" * 150, data=b"x")])
    digests = set()
    for size in (len(tar), piece_bytes):
        image = tmp_path / "out.img"
        fd = os.open(image, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        reader = LayerReader(Placer(fd), DEFAULT_LIMITS)
        for at in range(0, len(tar), size):
            reader.feed(tar[at : at + size])
        reader.finish()
        root = Root(0o755, TIME, 1000)
        root.apply(reader.found)
        finish_image(fd, root.node, reader._placer, reader.found.placed, OPTIONS)
        os.close(fd)
        assert_clean(image)
        digests.add(hashlib.sha256(image.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_entries_are_put_in_only_where_the_layers_have_none(tmp_path: Path) -> None:
    layer = layer_of(
        tmp_path,
        tar_of(
            [
                Entry(b"tmp", DIR, mode=0o1700),
                Entry(b"var/run", DIR),
                Entry(b"run", SYMLINK, link=b"var/run"),
                Entry(b"etc/ssh/ssh_host_rsa_key", data=b"secret"),
                Entry(b"etc/hostname", SYMLINK, link=b"/etc/passwd"),
                Entry(b"etc/passwd", data=b"root"),
            ]
        ),
    )
    image = tmp_path / "out.img"
    flatten_here([layer], image, banger_request(dataclasses.replace(OPTIONS, size_bytes=None)))
    assert_clean(image)
    seen = tree_of(image)
    assert seen[b"tmp"].mode == 0o41700
    assert seen[b"run"].content == b"var/run"
    assert seen[b"etc/hostname"].content == b"banger\n"
    assert seen[b"etc/passwd"].content == b"root"
    assert b"etc/ssh/ssh_host_rsa_key" not in seen
    assert {b"dev", b"proc", b"sys", b"root", b"etc/ssh/sshd_config.d/99-banger.conf"} <= set(seen)
    assert seen[b"root"].mode == 0o40700
