"""Extended headers of a tar: PAX records.

Source: POSIX.1-2017, pax, "pax Extended Header"; extended attributes as GNU tar, star and bsdtar write them
(`SCHILY.xattr.NAME`).
"""

from dataclasses import dataclass, field

from banger.ext4.names import shown
from banger.model.errors import SpecError

_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_HEEDED = frozenset({b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"})
_MAX_XATTRS = 256
"""More do not fit into the 4096 bytes that ext4 has for them."""


@dataclass(slots=True)
class PaxValues:
    """The records that banger heeds, of one extended header or of all global ones so far.

    `sparse` has those of GNU's sparse files in their order, without the prefix `GNU.sparse.`: version 0.0 repeats keys.
    """

    values: dict[bytes, bytes] = field(default_factory=dict)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    sparse: list[tuple[bytes, bytes]] = field(default_factory=list)

    def updated(self, body: bytes, owner: bytes) -> "PaxValues":
        """Return these values overridden by those of an extended header. Raises SpecError if it is malformed."""
        merged = PaxValues(dict(self.values), dict(self.xattrs), list(self.sparse))
        for key, value in _records(body, owner):
            if key.startswith(_XATTR):
                merged.xattrs[key[len(_XATTR) :]] = value
            elif key.startswith(_SPARSE):
                merged.sparse.append((key[len(_SPARSE) :], value))
            elif key not in _HEEDED:
                continue
            elif value:
                merged.values[key] = value
            else:
                merged.values.pop(key, None)
        if len(merged.xattrs) > _MAX_XATTRS:
            raise SpecError(f"tar entry after {shown(owner)}: more than {_MAX_XATTRS} extended attributes")
        return merged

    def integer(self, key: bytes, otherwise: int, entry: bytes) -> int:
        """The value of `key` as a number, or `otherwise` if there is none. Raises SpecError if it is no number."""
        text = self.values.get(key)
        if text is None:
            return otherwise
        if not text.isdigit() or len(text) > 20:  # noqa: PLR2004 - 2**64 has 20 digits
            raise SpecError(f"tar entry {shown(entry)}: PAX {key.decode()} is not a number: {shown(text)}")
        return int(text)

    def time(self, otherwise: int, entry: bytes) -> tuple[int, int]:
        """The modification time in seconds and nanoseconds. Raises SpecError if it is not a decimal number."""
        text = self.values.get(b"mtime")
        if text is None:
            return otherwise, 0
        whole, _, fraction = text.partition(b".")
        negative = whole.startswith(b"-")
        digits = whole[1:] if negative else whole
        if not digits.isdigit() or len(digits) > 20 or not (fraction.isdigit() or not fraction):  # noqa: PLR2004
            raise SpecError(f"tar entry {shown(entry)}: PAX mtime is not a time: {shown(text)}")
        seconds, nanoseconds = int(digits), int(fraction[:9].ljust(9, b"0"))
        if not negative:
            return seconds, nanoseconds
        return (-seconds, 0) if nanoseconds == 0 else (-seconds - 1, 1_000_000_000 - nanoseconds)


def _records(body: bytes, owner: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 21)
        length = body[at:space] if space > at else b""
        end = at + int(length) if length.isdigit() else 0
        equals = body.find(b"=", space, end)
        if end <= space or end > len(body) or equals < 0 or body[end - 1 : end] != b"\n":
            raise SpecError(f"tar entry after {shown(owner)}: its PAX header is malformed at byte {at}")
        found.append((body[space + 1 : equals], body[equals + 1 : end - 1]))
        at = end
    return found
