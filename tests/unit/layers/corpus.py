"""Bad and strange tars, by name: the bytes, and what banger must say of them (None: it must write them)."""

import struct
import tarfile
from collections.abc import Iterator

from tests.unit.ext4.images import Entry, tar_of
from tests.unit.layers.images import DIR, LINK, SYMLINK

Case = tuple[str, bytes, str | None]
GOOD = tar_of([Entry(b"first", data=b"x" * 1000), Entry(b"second", data=b"y" * 1000)])
END = bytes(1024)
FIELDS = {"mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12), "mtime": (136, 12)}


def summed(block: bytes) -> bytes:
    """A header with its checksum made right."""
    total = sum(block[:148]) + 8 * 0x20 + sum(block[156:512])
    return block[:148] + b"%06o\0 " % total + block[156:512]


def header(name: bytes = b"f", kind: bytes = b"0", size: int | bytes = 0, **fields: bytes) -> bytes:
    """A header of ustar, with fields replaced."""
    block = bytearray(name[:100].ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2)
    block += b"%011o\0" % size if isinstance(size, int) else size.ljust(12, b"\0")[:12]
    block += b"14524770400\0" + bytes(8) + kind
    block += fields.get("link", b"")[:100].ljust(100, b"\0") + b"ustar\x0000".ljust(72, b"\0")
    block += b"0000000\0" * 2 + fields.get("prefix", b"")
    block = bytearray(bytes(block).ljust(512, b"\0"))
    for field, (at, length) in FIELDS.items():
        if field in fields:
            block[at : at + length] = fields[field].ljust(length, b"\0")[:length]
    for field, at in (("devmajor", 329), ("devminor", 337)):
        if field in fields:
            block[at : at + 8] = fields[field].ljust(8, b"\0")[:8]
    return summed(bytes(block))


def body(data: bytes) -> bytes:
    """Content, filled up to a block."""
    return data.ljust(-(-len(data) // 512) * 512, b"\0")


def extended(kind: bytes, data: bytes, member: bytes = GOOD) -> bytes:
    """An extended header before a member."""
    return header(b"././@x", kind, len(data)) + body(data) + member


def record(key: bytes, value: bytes) -> bytes:
    """One PAX record."""
    text = b" " + key + b"=" + value + b"\n"
    length = len(text)
    while len(b"%d" % length) + len(text) != length:
        length = len(b"%d" % length) + len(text)
    return b"%d" % length + text


def numbers() -> Iterator[Case]:
    """Every numeric field with what is no number, or one out of range."""
    bad = [b"9", b"8\0", b"-1", b"+7", b"0x10", b"7 7", b"1.5", b"abc", b"\x7f7", b"12345678"[:7] + b"z", b"\n", b"_1"]
    for field in FIELDS:
        for value in bad:
            yield f"{field} {value!r}", header(**{field: value}) + END, "is not an octal number"
        yield f"{field} empty", header(**{field: b""}) + END, None
        yield f"{field} blanks", header(**{field: b"     "}) + END, None
    for field, words in (("uid", "owner"), ("gid", "owner")):
        yield f"{field} 2**32-1", header(**{field: b"\x80\0\0\0\xff\xff\xff\xff"}) + END, f"{words} 4294967295 is out"
        yield f"{field} negative", header(**{field: b"\xff" * 8}) + END, f"{words} -1 is out of range"
        yield f"{field} 2**55", header(**{field: b"\x80\x80" + bytes(6)}) + END, "is out of range"
        yield f"{field} 2**32-2", header(**{field: b"\x80\0\0\0\xff\xff\xff\xfe"}) + END, None
    for value in (b"\xff" * 12, b"\xff\x80" + bytes(10), b"\xff" + b"\0" * 11):
        yield f"size {value!r}", header(size=value) + END, "is negative"
    for value in (b"\x80" + b"\x7f" * 11, b"\x80\0\0\0\x7f" + b"\xff" * 7, b"777777777777"):
        yield f"size {value!r}", header(size=value) + END, "cut short"
    for value in (b"\xff" * 12, b"\x80" + b"\x7f" * 11, b"\x80\0\0\0\0\0\0\2\0\0\0\0", b"777777777777"):
        yield f"mtime {value!r}", header(mtime=value) + END, None
    for kind in (b"3", b"4"):
        for field in ("devmajor", "devminor"):
            yield f"{kind!r} {field} 9", header(kind=kind, **{field: b"9"}) + END, "is not an octal number"
            yield f"{kind!r} {field} big", header(kind=kind, **{field: b"7777777"}) + END, "is out of range"
            yield f"{kind!r} {field} negative", header(kind=kind, **{field: b"\xff" * 8}) + END, "is out of range"
        yield f"{kind!r} largest", header(kind=kind, devmajor=b"7777", devminor=b"3777777") + END, None


def types() -> Iterator[Case]:
    """Every type flag."""
    for flag in range(256):
        kind = bytes([flag])
        if kind in b"01234567\0" and flag:
            message = {b"1": "hard link to a directory", b"2": "symlink target is empty"}.get(kind)
        elif kind in (b"\0", b"S"):
            message = None
        elif kind in (b"x", b"g", b"L", b"K"):
            continue
        else:
            message = "is not supported"
        yield f"type {flag}", header(kind=kind) + END, message


NAMES: list[tuple[bytes, str | None]] = [
    *((name, "contains '..'") for name in (b"..", b"../x", b"a/../b", b"a/..", b"./../x", b"/../x", b"a//../../x")),
    *((name, None) for name in (b"/etc/x", b"//x", b"///a///b", b"./x", b"././x", b"a/./b", b"a//b", b"...", b"a/...")),
    *((name, None) for name in (b"..a", b"a..", b" ", b"a b", b"\x01", b"\xff\xfe", b"\xc3\xa9", b"a\nb", b"a\\b")),
    (b"n" * 255, None),
    (b"n" * 256, "a component is longer than 255 bytes"),
    (b"d/" + b"n" * 256 + b"/x", "a component is longer than 255 bytes"),
    (b"n/" * 2047 + b"x", None),
    (b"n/" * 2048 + b"x", "the name is longer than 4095 bytes"),
    (b"lost+found", "must be a directory"),
    (b"lost+found/x", None),
    *((name, "of a whiteout, and hides nothing") for name in (b".wh.", b".wh..", b".wh...", b"a/.wh.", b".wh.x/y")),
    *((name, None) for name in (b".wh.x", b".wh..wh..opq", b".wh..wh.plnk", b".wh..wh.aufs", b".wh..wh.orph", b".whx")),
    *((name, None) for name in (b".wh..wh.plnk/1.2", b".wh....", b".wh.\xff", b"a.wh.b", b".WH.x")),
    (b"", "the root is not a directory"),
    (b".", "the root is not a directory"),
    (b"/", "the root is not a directory"),
    (b"./", "the root is not a directory"),
]


def names() -> Iterator[Case]:
    """Each name in every form that a tar has for it."""
    for name, message in NAMES:
        shown = repr(name[:20]) + str(len(name))
        if len(name) <= 100:
            yield f"name {shown}", header(name) + END, message
        if name:
            yield f"GNU name {shown}", extended(b"L", name + b"\0", header() + END), message
            yield f"PAX name {shown}", extended(b"x", record(b"path", name), header() + END), message
        if name and len(name) <= 80:
            yield (
                f"directory {shown}",
                header(name, b"5") + END,
                None if message and "root" in message else (None if name == b"lost+found" else message),
            )
    yield "NUL in a PAX path", extended(b"x", record(b"path", b"a\0b"), header() + END), "contains a NUL byte"
    yield "NUL in a GNU name", extended(b"L", b"a\0b\0", header() + END), "contains a NUL byte"
    yield "prefix with dots", header(b"x", prefix=b"a/../..") + END, "contains '..'"
    yield "prefix", header(b"x", prefix=b"a/b") + END, None
    yield "case twins", header(b"A") + header(b"a") + END, None
    yield "file with a slash at its end", header(b"a/") + END, None
    yield "old directory", header(b"a/", b"\0") + END, None
    yield "old directory with content", header(b"a/", b"\0", 5) + body(b"12345") + END, "a directory with content"
    yield "10000 deep by names", tar_of([Entry(b"d/" * 1000, DIR), Entry(b"l", SYMLINK, link=b"d/" * 1000)]), None


LINKS: list[tuple[str, list[Entry], str | None]] = [
    ("to outside", [Entry(b"h", LINK, link=b"../../etc/passwd")], "contains '..'"),
    ("to outside, absolute", [Entry(b"h", LINK, link=b"/etc/passwd")], "which is not there"),
    ("absolute", [Entry(b"etc/x"), Entry(b"h", LINK, link=b"/etc/x")], None),
    ("to nothing", [Entry(b"h", LINK, link=b"gone")], "which is not there"),
    ("to itself", [Entry(b"h", LINK, link=b"h")], "hard link to itself"),
    ("to itself, there", [Entry(b"h"), Entry(b"h", LINK, link=b"./h")], "hard link to itself"),
    (
        "to itself through a symlink",
        [Entry(b"h"), Entry(b"s", SYMLINK, link=b"/"), Entry(b"s/h", LINK, link=b"h")],
        "hard link to itself",
    ),
    ("to a directory", [Entry(b"d", DIR), Entry(b"h", LINK, link=b"d")], "hard link to a directory"),
    ("to the root", [Entry(b"h", LINK, link=b"/")], "hard link to a directory"),
    ("to a later entry", [Entry(b"h", LINK, link=b"f"), Entry(b"f")], "which is not there"),
    ("in a circle", [Entry(b"a", LINK, link=b"b"), Entry(b"b", LINK, link=b"a")], "which is not there"),
    ("to a symlink", [Entry(b"s", SYMLINK, link=b"x"), Entry(b"h", LINK, link=b"s")], None),
    ("through a symlink out", [Entry(b"s", SYMLINK, link=b"/etc"), Entry(b"h", LINK, link=b"s/shadow")], "not there"),
    ("twice", [Entry(b"f"), Entry(b"h", LINK, link=b"f"), Entry(b"h", LINK, link=b"f")], None),
    ("of a link", [Entry(b"f"), Entry(b"g", LINK, link=b"f"), Entry(b"h", LINK, link=b"g")], None),
    ("as the root", [Entry(b"f"), Entry(b"./", LINK, link=b"f")], "the root is not a directory"),
    ("below", [Entry(b"f"), Entry(b"h", LINK, link=b"f"), Entry(b"h/x")], "h is not a directory"),
    ("symlink as root", [Entry(b"./", SYMLINK, link=b"x")], "the root is not a directory"),
    ("symlink, empty", [Entry(b"s", SYMLINK)], "symlink target is empty"),
    ("symlink, 4095", [Entry(b"s", SYMLINK, link=b"t" * 4095)], None),
    ("symlink, 4096", [Entry(b"s", SYMLINK, link=b"t" * 4096)], "too long"),
    ("symlink to itself, below", [Entry(b"s", SYMLINK, link=b"s"), Entry(b"s/x")], "too many symlinks"),
    (
        "symlinks in a circle, below",
        [Entry(b"a", SYMLINK, link=b"b"), Entry(b"b", SYMLINK, link=b"a"), Entry(b"a/x")],
        "too many symlinks",
    ),
    ("below an absolute symlink", [Entry(b"s", SYMLINK, link=b"/etc"), Entry(b"s/passwd")], None),
    ("below a symlink upwards", [Entry(b"a/s", SYMLINK, link=b"../../../.."), Entry(b"a/s/x")], None),
    ("below a symlink to a file", [Entry(b"f"), Entry(b"s", SYMLINK, link=b"f"), Entry(b"s/x")], "is not a directory"),
    ("below a file", [Entry(b"f"), Entry(b"f/x")], "f is not a directory"),
    ("below a device", [Entry(b"n", tarfile.CHRTYPE), Entry(b"n/x")], "n is not a directory"),
    ("symlink replaced by a file", [Entry(b"s", SYMLINK, link=b"/etc/passwd"), Entry(b"s", data=b"x")], None),
    ("symlink replaced by a directory", [Entry(b"s", SYMLINK, link=b"/etc"), Entry(b"s", DIR), Entry(b"s/x")], None),
    ("directory replaced by a symlink", [Entry(b"d/x"), Entry(b"d", SYMLINK, link=b"/e"), Entry(b"d/x")], None),
    ("41 symlinks", [*(Entry(b"%d" % n, SYMLINK, link=b"%d" % (n + 1)) for n in range(41)), Entry(b"0/x")], "too many"),
    ("39 symlinks", [*(Entry(b"%d" % n, SYMLINK, link=b"%d" % (n + 1)) for n in range(39)), Entry(b"0/x")], None),
    ("whiteout through a symlink", [Entry(b"s", SYMLINK, link=b"/etc"), Entry(b"s/.wh.passwd")], None),
    ("dev as a symlink", [Entry(b"dev", SYMLINK, link=b"/proc"), Entry(b"proc", SYMLINK, link=b"/dev")], None),
]


def links() -> Iterator[Case]:
    """Links and what is below them, in each format that can say it."""
    for name, entries, message in LINKS:
        yield f"link {name}", tar_of(entries), message
        if all(len(entry.link) < 90 for entry in entries):
            yield f"GNU link {name}", tar_of(entries, tarfile.GNU_FORMAT), message


def many_links() -> Iterator[Case]:
    """As many as ext4 can count, and one more."""
    some = b"".join(header(b"%d" % n, b"1", link=b"f") for n in range(65000))
    yield "link, 65000 names", header() + some[512:] + END, None
    yield "link, 65001 names", header() + some + END, "more than 65000 hard links"


def xattrs() -> Iterator[Case]:
    """Extended attributes."""
    good_acl = struct.pack("<I", 2) + struct.pack("<HHI", 1, 6, 0) + struct.pack("<HHI", 4, 4, 0)
    cases: list[tuple[str, dict[str, bytes], str | None]] = [
        ("capability v2", {"security.capability": struct.pack("<IIIII", 0x02000001, 1, 0, 0, 0)}, None),
        ("capability v3", {"security.capability": struct.pack("<IIIIII", 0x03000001, 1, 0, 0, 0, 7)}, None),
        ("of overlayfs", {"trusted.overlay.opaque": b"y", "trusted.overlay.redirect": b"/x"}, None),
        ("of no name space", {"nobody.x": b"y", "user.": b"z"}, None),
        ("too large", {"user.a": b"v" * 4000, "user.b": b"v" * 100}, "do not fit into 4096 bytes"),
        ("as large as can be", {"user.a": b"v" * 4000}, None),
        ("long name", {"user." + "a" * 256: b"v"}, "the name of an extended attribute is too long"),
        ("many", {f"user.{n}": b"" for n in range(257)}, "more than 256 extended attributes"),
        ("ACL", {"system.posix_acl_access": good_acl}, None),
        ("ACL cut short", {"system.posix_acl_access": good_acl[:-1]}, "its POSIX ACL is malformed"),
        ("ACL of version 1", {"system.posix_acl_access": b"\1" + good_acl[1:]}, "its POSIX ACL is malformed"),
        ("ACL, empty", {"system.posix_acl_default": b""}, "its POSIX ACL is malformed"),
        ("ACL, tag 3", {"system.posix_acl_access": struct.pack("<IHHI", 2, 3, 0, 0)}, "unknown tag 0x3"),
    ]
    for name, attributes, message in cases:
        yield f"xattr {name}", tar_of([Entry(b"f", xattrs=attributes)]), message
        yield f"xattr {name}, directory", tar_of([Entry(b"f", DIR, xattrs=attributes)]), message


def framing() -> Iterator[Case]:
    """Tars that end where they should not, or do not end."""
    for length in range(513, len(GOOD) - 1, 97):
        if length % 512 == 0 and length in (0, 1536, 3072):
            continue
        within = GOOD[:length]
        if not any(within[at:] for at in (3072,) if length > at):
            yield f"cut at {length}", within, "cut short"
    yield "cut between members", GOOD[:1536], None
    yield "cut before the end", GOOD[:3072], None
    yield "one block of zeros at the end", GOOD[:3072] + bytes(512), None
    yield "nothing", b"", None
    yield "only the end", END, None
    yield "a header after one block of zeros", GOOD[:3072] + bytes(512) + GOOD, "it follows a block of zeros"
    yield "anything after the end", GOOD + b"anything" * 999, None
    yield "no tar", b"gzip?" * 500, "header after the beginning is damaged"
    for at in (0, 50, 100, 124, 148, 150, 156, 257, 345, 500):
        damaged = GOOD[:at] + bytes([GOOD[at] ^ 0x55]) + GOOD[at + 1 :]
        yield f"damaged at {at}", damaged, "its checksum is wrong"
    yield "signed checksum", signed(), None


def signed() -> bytes:
    """A header whose checksum was made of signed characters."""
    block = bytearray(header(b"\xff\xfe"))
    total = sum(byte - 256 * (byte > 127) for byte in block[:148] + block[156:]) + 8 * 0x20
    block[148:156] = b"%06o\0 " % total
    return bytes(block) + END
