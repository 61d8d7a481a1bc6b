"""Identity: the one place where "the same" is decided.

A digest is sha256 over a canonical encoding that is *framed* (every variable-length part is preceded by its length, so
no two different values share bytes) and *domain-separated* (a digest of one kind of thing never equals a digest of
another kind). Floats, sets and unknown types are refused: their encoding would not be stable.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NewType, TypeAlias

Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hexadecimal digits, as in the OCI image-spec, "Digests"."""

Canonical: TypeAlias = "bool | int | str | bytes | Sequence[Canonical] | Mapping[str, Canonical] | None"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_INT_LIMIT = 1 << 63


class CanonicalError(TypeError):
    """A value has no canonical encoding; the message says where it is and why."""


def parse_digest(text: str) -> Digest:
    """Check the form of a digest. Raises ValueError that names the text."""
    if not _DIGEST.match(text):
        raise ValueError(f"not a sha256 digest: {text[:80]!r}")
    return Digest(text)


def digest_of_bytes(data: bytes) -> Digest:
    """Digest raw content, with no domain: what OCI registries and Debian's archive compute as well."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_of(domain: str, value: Canonical) -> Digest:
    """Digest a structured value within a domain. Raises CanonicalError for what cannot be encoded."""
    body = canonical_bytes(value)
    prefix = domain.encode()
    hasher = hashlib.sha256(b"banger\x00%d:%s" % (len(prefix), prefix))
    hasher.update(body)
    return Digest("sha256:" + hasher.hexdigest())


def canonical_bytes(value: Canonical) -> bytes:
    """Encode a value; equal values give equal bytes, different values different bytes."""
    parts: list[bytes] = []
    _encode(value, parts, "value")
    return b"".join(parts)


def _encode(value: Canonical, out: list[bytes], where: str) -> None:
    # Exact types: a subclass (an enum, a NewType-free wrapper) could print one thing and compare as another.
    kind = type(value)
    if kind is str:
        data = value.encode("utf-8", "surrogateescape")  # type: ignore[union-attr]
        out.append(b"s%d:%s" % (len(data), data))
    elif value is None:
        out.append(b"n")
    elif kind is bool:
        out.append(b"t" if value else b"f")
    elif kind is int:
        if not -_INT_LIMIT <= value < _INT_LIMIT:  # type: ignore[operator]
            raise CanonicalError(f"{where}: integer outside 64 bits")
        out.append(b"i%d;" % value)  # type: ignore[str-format]
    elif kind is bytes:
        out.append(b"b%d:%s" % (len(value), value))  # type: ignore[arg-type]
    elif kind in {list, tuple}:
        out.append(b"l%d:" % len(value))  # type: ignore[arg-type]
        for index, item in enumerate(value):  # type: ignore[arg-type]
            _encode(item, out, f"{where}[{index}]")
    elif kind is dict:
        _encode_mapping(value, out, where)  # type: ignore[arg-type]
    else:
        raise CanonicalError(f"{where}: {kind.__name__} has no canonical encoding")


def _encode_mapping(value: Mapping[str, Canonical], out: list[bytes], where: str) -> None:
    out.append(b"d%d:" % len(value))
    for key in value:
        if type(key) is not str:
            raise CanonicalError(f"{where}: key {key!r} is not a string")
    for key in sorted(value, key=str.encode):
        _encode(key, out, where)
        _encode(value[key], out, f"{where}.{key}")
