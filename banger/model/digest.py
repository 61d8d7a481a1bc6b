"""Identity: the one place where "the same" is decided.

A digest is sha256 over a canonical encoding that is *framed* (every variable-length part is preceded by its length, so
no two different values share bytes) and *domain-separated* (a digest of one kind of thing never equals a digest of
another kind). Floats, sets and unknown types are refused: their encoding would not be stable.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
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
    parts = [f"banger\x00{len(domain)}:{domain}"]
    _encode(value, parts)
    return Digest("sha256:" + hashlib.sha256(_bytes(parts)).hexdigest())


def digest_of_action(kind: str, version: int, params: Mapping[str, Canonical], inputs: Mapping[str, Digest]) -> Digest:
    """`digest_of("banger.action", {...})` of these four, in half the time: every node of every run needs one."""
    shape: tuple[str | int, ...] = (kind, version, *inputs)
    template = _TEMPLATES.get(shape)
    if template is None:
        template = _TEMPLATES[shape] = _template(kind, version, inputs)
    parts = [template[0] % inputs]
    (_encode_mapping if type(params) is dict else _encode)(params, parts)
    parts.append(template[1])
    return Digest("sha256:" + hashlib.sha256(_bytes(parts)).hexdigest())


def digest_of_value(value: Canonical) -> Digest:
    """`digest_of("banger.output", {...})` of a value that speaks of no artifacts."""
    parts = ["banger\x0013:banger.outputd2:s9:artifactsl0:s5:value"]
    _encode(value, parts)
    return Digest("sha256:" + hashlib.sha256(_bytes(parts)).hexdigest())


_TEMPLATES: dict[tuple[str | int, ...], tuple[str, str]] = {}
"""What comes before and after the parameters, by kind, version and names of inputs: there are as many as tasks."""


def _template(kind: str, version: int, names: Iterable[str]) -> tuple[str, str]:
    assert not any(one in name for name in names for one in "%()"), "a name of an input is that of a field"
    inputs = "".join(f"{_text(name)}s71:%({name})s" for name in sorted(names))
    before = f"banger\x0013:banger.actiond4:{_text('inputs')}d{len(tuple(names))}:{inputs}"
    framed = _text(kind).replace("%", "%%")
    return f"{before}{_text('kind')}{framed}{_text('params')}", f"{_text('version')}i{version};"


def canonical_bytes(value: Canonical) -> bytes:
    """Encode a value; equal values give equal bytes, different values different bytes."""
    parts: list[str] = []
    _encode(value, parts)
    return _bytes(parts)


# Parts are text, and turned to bytes once at the end: a run that does nothing encodes ten thousand actions. A byte that
# is not UTF-8 is a lone surrogate meanwhile, and that same byte again in the end (PEP 383).
def _bytes(parts: list[str]) -> bytes:
    return "".join(parts).encode("utf-8", "surrogateescape")


def _text(text: str) -> str:
    """Frame a string by its length in bytes."""
    return f"s{len(text) if text.isascii() else len(text.encode('utf-8', 'surrogateescape'))}:{text}"


def _encode(value: Canonical, out: list[str]) -> None:
    # Exact types: a subclass (an enum, a NewType-free wrapper) could print one thing and compare as another.
    kind = type(value)
    if kind is str:
        out.append(_text(value))  # type: ignore[arg-type]
    elif kind is dict:
        _encode_mapping(value, out)  # type: ignore[arg-type]
    elif value is None or kind is bool:
        out.append("n" if value is None else "t" if value else "f")
    elif kind is int:
        if not -_INT_LIMIT <= value < _INT_LIMIT:  # type: ignore[operator]
            raise CanonicalError(": integer outside 64 bits")
        out.append(f"i{value};")
    elif kind is bytes:
        out.append(f"b{len(value)}:{value.decode('utf-8', 'surrogateescape')}")  # type: ignore[arg-type,union-attr]
    elif kind in {list, tuple}:
        out.append(f"l{len(value)}:")  # type: ignore[arg-type]
        for index, item in enumerate(value):  # type: ignore[arg-type]
            try:
                _encode(item, out)
            except CanonicalError as error:
                raise CanonicalError(f"[{index}]{error}") from None
    else:
        raise CanonicalError(f": {kind.__name__} has no canonical encoding")


def _encode_mapping(value: Mapping[str, Canonical], out: list[str]) -> None:
    out.append(f"d{len(value)}:")
    try:
        keys = sorted(value)
    except TypeError:
        raise CanonicalError(": not every key is a string") from None
    for key in keys:
        if type(key) is not str:
            raise CanonicalError(f": key {key!r} is not a string")
        item = value[key]
        framed = _KEYS.get(key) or _framed_key(key)
        if type(item) is str and item.isascii():  # the usual ones, without another call
            out.append(f"{framed}s{len(item)}:{item}")
            continue
        if type(item) is int and -_INT_LIMIT <= item < _INT_LIMIT:
            out.append(f"{framed}i{item};")
            continue
        out.append(framed)
        try:
            _encode(item, out)
        except CanonicalError as error:
            raise CanonicalError(f".{key}{error}") from None


_KEYS: dict[str, str] = {}
"""Framed keys: most are names of fields, and there are not many."""
_MOST_KEYS = 4096


def _framed_key(key: str) -> str:
    framed = _text(key)
    if len(_KEYS) < _MOST_KEYS:
        _KEYS[key] = framed
    return framed
