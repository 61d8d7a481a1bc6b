"""Which file lies where in a tar: names, sizes and offsets, and nothing is unpacked.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format".
For the outer tar of `docker save` only. What is odd is refused: a tool wrote it, not a person.
"""

import os
import posixpath
from dataclasses import dataclass

from banger.oci.errors import ContentError, shown

_BLOCK = 512
_ENTRIES_LIMIT = 10_000
_EXTENDED_LIMIT_BYTES = 64 * 1024
_NAME_LIMIT_BYTES = 4096
_LINKS_LIMIT = 8
_FILE_KINDS = frozenset({b"0", b"\0", b"7"})
_LINK_KINDS = frozenset({b"1", b"2"})


@dataclass(frozen=True, slots=True)
class Member:
    """A file: `size` bytes from `offset` of the tar; or a link to the name `link`."""

    offset: int
    size: int
    link: str | None = None


class TarIndex:
    """The members of a tar by their normal names."""

    def __init__(self, members: dict[str, Member]) -> None:
        self._members = members

    def find(self, name: str) -> Member | None:
        """The file of a name, through links inside the tar; None if it is not there."""
        wanted = posixpath.normpath(name)
        for _ in range(_LINKS_LIMIT):
            member = self._members.get(wanted)
            if member is None or member.link is None:
                return member
            wanted = posixpath.normpath(member.link)
        return None


def index_tar(fd: int, what: str) -> TarIndex:
    """Read every header. Raises ContentError for what is not a plain, whole tar."""
    total = os.fstat(fd).st_size
    members: dict[str, Member] = {}
    extended: dict[str, bytes] = {}
    at = headers = 0
    while (header := os.pread(fd, _BLOCK, at)) and header.strip(b"\0"):
        headers += 1
        if headers > _ENTRIES_LIMIT:
            raise ContentError(f"{what}: more than {_ENTRIES_LIMIT} entries")
        if len(header) < _BLOCK or not _is_header(header):
            raise ContentError(f"{what}: is not an uncompressed tar (at byte {at})")
        kind, body = header[156:157], at + _BLOCK
        size = _number(extended.get("size"), header[124:136], f"{what} at byte {at}")
        at = body + -(-size // _BLOCK) * _BLOCK
        if body + size > total:
            raise ContentError(f"{what}: ends in the middle of an entry")
        if kind in {b"L", b"K", b"x", b"g"}:
            _extend(extended, kind, _extended_body(fd, body, size, what), what)
            continue
        _add(members, header, kind, Member(body, size), extended)
        extended = {}
    if not members:
        raise ContentError(f"{what}: is not a tar with files in it")
    return TarIndex(members)


def _add(members: dict[str, Member], header: bytes, kind: bytes, file: Member, extended: dict[str, bytes]) -> None:
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    own = posixpath.join(prefix, _text(header[:100]))
    name = posixpath.normpath(_text(extended["path"]) if "path" in extended else own)
    if kind in _FILE_KINDS:
        members[name] = file
    elif kind in _LINK_KINDS:
        link = _text(extended["linkpath"]) if "linkpath" in extended else _text(header[157:257])
        # A symbolic link starts from its own directory, a hard link from the top.
        members[name] = Member(0, 0, posixpath.join(posixpath.dirname(name), link) if kind == b"2" else link)


def _is_header(header: bytes) -> bool:
    stated = header[148:156].strip(b" \0")
    if not stated or not all(byte in b"01234567" for byte in stated):
        return False
    return int(stated, 8) == sum(header) - sum(header[148:156]) + 8 * ord(" ")


def _number(pax: bytes | None, field: bytes, where: str) -> int:
    if pax is not None:
        digits, base = pax, 10
    elif field[0] == 0x80:  # noqa: PLR2004 - base 256, a positive number
        return int.from_bytes(field[1:], "big")
    else:
        digits, base = field.strip(b" \0") or b"0", 8
    allowed = b"0123456789"[:base]
    if not digits or len(digits) > 20 or not all(byte in allowed for byte in digits):  # noqa: PLR2004 - 2**64
        raise ContentError(f"{where}: a size that cannot be read")
    return int(digits, base)


def _extended_body(fd: int, offset: int, size: int, what: str) -> bytes:
    if size > _EXTENDED_LIMIT_BYTES:
        raise ContentError(f"{what}: an extended header of {size} bytes")
    return os.pread(fd, size, offset)


def _extend(extended: dict[str, bytes], kind: bytes, body: bytes, what: str) -> None:
    if kind in {b"L", b"K"}:
        extended["path" if kind == b"L" else "linkpath"] = body.rstrip(b"\0")
        return
    if kind == b"g":
        return  # global records name no file
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 8)
        length = body[at:space] if space > at else b""
        end = at + int(length) if length.isdigit() else 0
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if end <= space or end > len(body) or not equals:
            raise ContentError(f"{what}: an extended header that cannot be read")
        extended[key.decode("utf-8", "replace")] = value
        at = end


def _text(field: bytes) -> str:
    name = field.partition(b"\0")[0]
    if len(name) > _NAME_LIMIT_BYTES:
        raise ContentError(f"a name of {len(name)} bytes: {shown(name[:40].decode('utf-8', 'replace'))}")
    return name.decode("utf-8", "surrogateescape")
