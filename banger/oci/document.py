"""Read JSON that a stranger wrote into declared shapes, and refuse what two readers could understand differently."""

import json
from typing import NoReturn, TypeVar

import msgspec

from banger.oci.errors import ContentError, shown

_Shape = TypeVar("_Shape")
_NUMBER_CHARS = 20


def read_document(raw: bytes, what: str, limit_bytes: int) -> dict[str, object]:
    """Parse one JSON object. Raises ContentError: too long, not JSON, a key twice, NaN, nested too deep."""
    if len(raw) > limit_bytes:
        raise ContentError(f"{what}: longer than {limit_bytes} bytes")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_refuse_constant,
            parse_int=_bounded_int,
        )
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else shown(error)
        raise ContentError(f"{what}: not a JSON document: {reason}") from None
    if not isinstance(value, dict):
        raise ContentError(f"{what}: not a JSON object")
    return value


def shape(value: object, kind: type[_Shape], what: str) -> _Shape:
    """Convert parsed JSON to a declared type; further keys are left out. Raises ContentError that names the key."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ContentError(f"{what}: {shown(error)}") from None
    except (RecursionError, UnicodeError):
        raise ContentError(f"{what}: not a document that can be read") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # RFC 8259, 4: readers differ in which of the two they take, and so could be shown different images.
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def _bounded_int(text: str) -> int:
    if len(text) > _NUMBER_CHARS:
        raise ValueError("a number has too many digits")
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
