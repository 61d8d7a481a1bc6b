"""More of the corpus: PAX headers, GNU's, and sparse files."""

import tarfile
from collections.abc import Iterator

from tests.unit.ext4.images import Entry, tar_of
from tests.unit.layers.corpus import END, GOOD, Case, body, extended, header, record, summed

X, G = b"x", b"g"


def pax() -> Iterator[Case]:
    """Records that are malformed, or say what cannot be."""
    malformed = [
        b"6 abc\n", b"0 a=b\n", b"99 b=c\n", b"a=b\n", b"7 a=b", b"-7 a=b\n", b" 7 a=b\n", b"7\ta=b\n", b"5 a=b\n",
        b"8 a=b\n", b"00000000000000000000007 a=b\n", b"18446744073709551622 a=b\n", b"\0" * 20, b"7 =bc\n" * 0 + b"x",
    ]  # fmt: skip
    for text in malformed:
        yield f"PAX {text!r}", extended(X, text), "its PAX header is malformed"
        yield f"global PAX {text!r}", extended(G, text), "its PAX header is malformed"
    for key in (b"size", b"uid", b"gid"):
        for value in (b"-1", b"1.5", b"x", b"1e9", b"9" * 30, b" 1", b"0x1"):
            yield f"PAX {key!r} {value!r}", extended(X, record(key, value)), "is not a number"
    for value in (b"1.2.3", b"x", b"1,5", b"--1", b"9" * 30, b"1.x", b"."):
        yield f"PAX mtime {value!r}", extended(X, record(b"mtime", value)), "is not a time"
    for value in (b"-1", b"0.000000001", b"-0.5", b"8589934592", b"1.", b"99999999999999999999"):
        yield f"PAX mtime {value!r}", extended(X, record(b"mtime", value)), None
    yield "PAX uid 2**32", extended(X, record(b"uid", b"4294967296")), "owner 4294967296 is out of range"
    yield "PAX uid 2**31", extended(X, record(b"uid", b"2147483648")), None
    yield "PAX size too large", extended(X, record(b"size", b"99999999999")), "cut short"
    yield "PAX size shorter", extended(X, record(b"size", b"100"), header(size=1000) + body(b"x" * 100) + END), None
    yield "PAX size longer", extended(X, record(b"size", b"600"), header(size=0) + body(b"x" * 600) + END), None
    yield "PAX empty path", extended(X, record(b"path", b"")), None
    yield "PAX unknown", extended(X, record(b"SCHILY.dev", b"1") + record(b"comment", b"\xff")), None
    yield "PAX hdrcharset", extended(X, record(b"hdrcharset", b"BINARY") + record(b"path", b"\xff")), None
    yield "PAX NUL in a link", extended(X, record(b"linkpath", b"a\0b"), header(kind=b"2") + END), "contains a NUL byte"
    yield "PAX too large", extended(X, b"\0" * (1 << 20) + b"x"), "cut short or too large"
    yield "PAX at the end", header(b"x", X, 9) + body(record(b"path", b"a")) + END, "cut short"
    yield "PAX at the very end", header(b"x", X, 9) + body(record(b"path", b"a")), "cut short"
    yield "PAX, cut short", extended(X, record(b"path", b"a" * 600))[:900], "cut short"
    yield "PAX twice", extended(X, record(b"path", b"a"), extended(X, record(b"uid", b"7"))), None
    yield "PAX and then GNU", extended(X, record(b"path", b"a"), extended(b"L", b"b\0")), None
    yield "PAX before a link", extended(X, record(b"path", b"h"), header(kind=b"1", link=b"h") + END), "itself"
    yield "1000 empty PAX headers", (header(b"x", X) * 1000) + GOOD, None
    yield "global comment", extended(G, record(b"comment", b"0" * 40)), None
    yield "global uid", extended(G, record(b"uid", b"1234")), None
    yield "global path", extended(G, record(b"path", b"../x")), "contains '..'"
    yield "global sparse", extended(G, record(b"GNU.sparse.major", b"1")), "a sparse file in a global header"
    yield (
        "global, many attributes",
        (b"".join(extended(G, record(b"SCHILY.xattr.user.%d" % n, b"v"), b"") for n in range(300)) + GOOD),
        "more than 256 extended attributes",
    )


def gnu() -> Iterator[Case]:
    """Long names and links."""
    yield "GNU name too large", header(b"x", b"L", (1 << 20) + 1), "cut short or too large"
    yield "GNU name negative", header(b"x", b"L", size=0)[:124] + END, "damaged"
    yield "GNU name, negative size", header(b"x", b"L", b"\xff" * 12) + END, "cut short or too large"
    yield "GNU name, cut short", header(b"x", b"L", 600) + b"a" * 300, "cut short"
    yield "GNU name without NUL", extended(b"L", b"abc"), None
    yield "GNU name, empty", extended(b"L", b"\0"), "the root is not a directory"
    yield "GNU name at the end", header(b"x", b"L", 4) + body(b"abc\0") + END, "cut short"
    yield "GNU link, long", extended(b"K", b"t" * 5000, header(kind=b"2") + END), "too long"
    yield "GNU link with dots", extended(b"K", b"../x\0", header(kind=b"1") + END), "contains '..'"
    yield "GNU names, thousands", extended(b"L", b"abc\0", b"") * 5000 + GOOD, None
    yield "old directory by a long name", extended(b"L", b"d" * 200 + b"/\0", header(kind=b"\0") + END), None


def segment(offset: int, length: int) -> bytes:
    """An entry of an old sparse map."""
    return b"%011o\0%011o\0" % (offset, length)


def old_sparse(segments: list[tuple[int, int]], real_size: int, data: bytes, *, more: bytes | None = None) -> bytes:
    """A member of type S; `more` are blocks of its map."""
    block = bytearray(header(b"s", b"S", len(data)))
    block[257:265] = b"ustar  \0"
    table = b"".join(segment(*one) for one in segments)
    block[386 : 386 + len(table)] = table
    block[482] = more is not None
    block[483:495] = b"%011o\0" % real_size
    return summed(bytes(block)) + (more or b"") + body(data) + END


def sparse_1_0(text: bytes, real_size: bytes, data: bytes) -> bytes:
    """A member of PAX 1.0 with this text as its map."""
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    records += record(b"GNU.sparse.name", b"s") + record(b"GNU.sparse.realsize", real_size)
    content = body(text) + data
    return extended(X, records, header(b"GNUSparseFile.0/s", size=len(content)) + body(content) + END)


def sparse() -> Iterator[Case]:
    """Maps that overlap, end behind the file, have no end, or lie about the data."""
    maps: list[tuple[str, list[tuple[int, int]], int, bytes, str | None]] = [
        ("good", [(0, 5), (1 << 20, 5)], (1 << 20) + 5, b"abcdefghij", None),
        ("unaligned", [(3, 5), (4093, 7)], 9000, b"abcdefghijkl", None),
        ("all hole", [], 1 << 30, b"", None),
        ("8 TiB", [(1 << 40, 5)], 1 << 43, b"abcde", None),
        ("8 EiB", [], (1 << 63) - 1, b"", "is more than ext4 can hold"),
        ("overlap", [(0, 6), (3, 4)], 100, b"abcdefghij", "overlaps or ends behind"),
        ("backwards", [(50, 5), (0, 5)], 100, b"abcdefghij", "overlaps or ends behind"),
        ("behind the end", [(0, 5), (96, 5)], 100, b"abcdefghij", "overlaps or ends behind"),
        ("more data", [(0, 5)], 100, b"abcdefghij", "does not fit what the tar holds"),
        ("less data", [(0, 50)], 100, b"abcdefghij", "does not fit what the tar holds"),
        ("shorter than its data", [(0, 10)], 5, b"abcdefghij", "overlaps or ends behind"),
    ]
    for name, segments, size, data, message in maps:
        if size < 1 << 33:
            yield f"old sparse {name}", old_sparse(segments, size, data), message
        text = b"%d\n" % len(segments) + b"".join(b"%d\n%d\n" % one for one in segments)
        yield f"sparse 1.0 {name}", sparse_1_0(text, b"%d" % size, data), message
        listed = b",".join(b"%d,%d" % one for one in segments)
        head = record(b"GNU.sparse.size", b"%d" % size)
        old = head + b"".join(
            record(b"GNU.sparse.offset", b"%d" % one[0]) + record(b"GNU.sparse.numbytes", b"%d" % one[1])
            for one in segments
        )
        member = header(size=len(data)) + body(data) + END
        yield f"sparse 0.0 {name}", extended(X, old, member), message
        yield f"sparse 0.1 {name}", extended(X, head + record(b"GNU.sparse.map", listed), member), message
    extension = b"".join(segment(4096 * n, 1) for n in range(21)).ljust(512, b"\0")
    yield "old sparse, extended", old_sparse([], 1 << 20, b"x" * 21, more=extension), None
    yield "old sparse, extension missing", old_sparse([], 100, b"", more=b"")[:512], "cut short"
    looped = extension[:504] + b"\1" + extension[505:]
    yield "old sparse, extended without end", old_sparse([], 100, b"", more=looped * 3), "overlaps"
    yield "old sparse, bad number", summed(old_sparse([(0, 1)], 9, b"x")[:386] + b"9" * 24 + bytes(102)), "octal"
    texts = [b"", b"x\n", b"1\n", b"1\n0\n", b"-1\n", b"99999999999\n", b"1\n0\n9999999999999999999999\n", b"1" * 600]
    for text in texts:
        yield f"sparse 1.0 map {text[:20]!r}", sparse_1_0(text, b"100", b""), "sparse map"
    yield "sparse 1.0, bad size", sparse_1_0(b"0\n", b"x", b""), "its sparse map is malformed"
    yield "sparse 1.0, name with dots", sparse_1_0(b"0\n", b"5", b"").replace(b"name=s", b"name=."), "the root is"
    yield "sparse 0.1, odd map", extended(X, record(b"GNU.sparse.map", b"1,2,3")), "its sparse map is malformed"
    yield "sparse directory", extended(X, record(b"GNU.sparse.map", b"0,1"), header(kind=b"5") + END), None


def sizes() -> Iterator[Case]:
    """Headers of what has no content, with a size."""
    for kind in b"23456":
        block = header(bytes([97 + kind % 26]), bytes([kind]), 700, link=b"t")
        yield f"size of type {chr(kind)}", block + END, None
    yield "hard link with a size", header(b"f") + header(b"h", b"1", 700, link=b"f") + END, None
    yield "content is a header", header(b"f", size=512) + header(b"../x") + END, None
    yield "50000 empty files", tar_of([Entry(b"%d" % n) for n in range(5000)], tarfile.USTAR_FORMAT), None
