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
    hasher = _hasher(domain)
    hasher.update(canonical_bytes(value))
    return Digest("sha256:" + hasher.hexdigest())


def canonical_bytes(value: Canonical) -> bytes:
    """Encode a value; equal values give equal bytes, different values different bytes."""
    parts: list[str] = []
    _encode(value, parts, "value")
    return "".join(parts).encode("utf-8", "surrogateescape")


def _hasher(domain: str) -> "hashlib._Hash":
    begun = _DOMAINS.get(domain)
    if begun is None:
        prefix = domain.encode()
        begun = _DOMAINS[domain] = hashlib.sha256(b"banger\x00%d:%s" % (len(prefix), prefix))
    return begun.copy()


_DOMAINS: "dict[str, hashlib._Hash]" = {}
"""Hashers that have taken in a domain and nothing else."""


def _text(text: str) -> str:
    """Frame a string by its length in bytes. (Digests, names, numbers are ASCII: their length is known at once.)"""
    return f"s{len(text) if text.isascii() else len(text.encode('utf-8', 'surrogateescape'))}:{text}"


def _encode(value: Canonical, out: list[str], where: str) -> None:
    # Parts are text, and turned to bytes once at the end: ten thousand actions are encoded by a run that does nothing.
    # Exact types: a subclass (an enum, a NewType-free wrapper) could print one thing and compare as another.
    kind = type(value)
    if kind is str:
        out.append(_text(value))  # type: ignore[arg-type]
    elif kind is dict:
        _encode_mapping(value, out, where)  # type: ignore[arg-type]
    elif value is None:
        out.append("n")
    elif kind is bool:
        out.append("t" if value else "f")
    elif kind is int:
        if not -_INT_LIMIT <= value < _INT_LIMIT:  # type: ignore[operator]
            raise CanonicalError(f"{where}: integer outside 64 bits")
        out.append(f"i{value};")
    elif kind is bytes:
        # A byte that is not UTF-8 becomes a lone surrogate here and that same byte again at the end (PEP 383).
        out.append(f"b{len(value)}:{value.decode('utf-8', 'surrogateescape')}")  # type: ignore[arg-type,union-attr]
    elif kind in {list, tuple}:
        out.append(f"l{len(value)}:")  # type: ignore[arg-type]
        for index, item in enumerate(value):  # type: ignore[arg-type]
            _encode(item, out, f"{where}[{index}]")
    else:
        raise CanonicalError(f"{where}: {kind.__name__} has no canonical encoding")


def _encode_mapping(value: Mapping[str, Canonical], out: list[str], where: str) -> None:
    out.append(f"d{len(value)}:")
    for key in value:
        if type(key) is not str:
            raise CanonicalError(f"{where}: key {key!r} is not a string")
    for key in sorted(value):
        out.append(_text(key))
        item = value[key]
        if type(item) is str:
            out.append(_text(item))
        else:
            _encode(item, out, f"{where}.{key}")
