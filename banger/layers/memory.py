"""What the fields of tar headers mean, remembered by their bytes: in a layer the same ones come again and again."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from banger.ext4.names import normalise
from banger.ext4.tarfields import identity, number, text_of
from banger.layers.entries import WHITEOUT
from banger.model.errors import SpecError

T = TypeVar("T")

_MAX_ENTRIES: Final = 50_000
_ADLER_MODULUS: Final = 65521


class Memo(dict[bytes, T], Generic[T]):
    """The meaning of a field by its bytes, bounded."""

    def __init__(self, decode: Callable[[bytes], T]) -> None:
        super().__init__()
        self._decode = decode

    def __missing__(self, field: bytes) -> T:
        """Decode a field that was not met before."""
        if len(self) > _MAX_ENTRIES:
            self.clear()
        value = self[field] = self._decode(field)
        return value


class Memory:
    """One memo for each field. None or -1 stands for what must be looked at more closely."""

    def __init__(self) -> None:
        self.sizes = Memo(_size)
        self.owners = Memo(_owner)
        self.times = Memo(_time)
        self.parents = Memo(_parent)
        self.sums = Memo(_sum)


def _size(field: bytes) -> int:
    try:
        return number(field, b"", "size")
    except SpecError:
        return -1


def _owner(field: bytes) -> tuple[int, int, int] | None:
    """Mode, uid and gid, which are neighbours."""
    try:
        mode, uid, gid = (number(field[at : at + 8], b"", "owner") for at in (0, 8, 16))
        return mode & 0o7777, identity(uid, b""), identity(gid, b"")
    except SpecError:
        return None


def _time(field: bytes) -> int | None:
    try:
        return number(field, b"", "mtime")
    except SpecError:
        return None


def _parent(path: bytes) -> bytes | None:
    """The path of a directory, normalised."""
    try:
        normal = normalise(path.lstrip(b"/"))
    except SpecError:
        return None
    return None if WHITEOUT in normal else normal


def _sum(field: bytes) -> int:
    """The lower half of the Adler-32 of a header whose checksum this is: 1 and the sum of its bytes, modulo a prime.

    Adler-32 is ten times as fast as a sum in Python. That a damaged header can have the sum of a whole one by this
    modulus is of no use to anybody: the layer's sha256 is checked.
    """
    digits = text_of(field).strip(b" ")
    if not digits.isdigit() or digits.strip(b"01234567"):
        return -1
    return (1 + int(digits, 8) + sum(field) - 8 * 0x20) % _ADLER_MODULUS
