"""Identity: equal values have equal digests, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.model.digest import Canonical, CanonicalError, canonical_bytes, digest_of, parse_digest

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def _identity(value: Canonical) -> object:
    """What the encoding must distinguish: type and content, but not list against tuple, nor key order."""
    if isinstance(value, dict):
        return ("dict", frozenset((key, _identity(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return ("list", tuple(_identity(item) for item in value))
    return (type(value).__name__, value)


@given(values, values)
def test_digests_are_equal_exactly_when_the_values_are(left: Canonical, right: Canonical) -> None:
    assert (digest_of("test", left) == digest_of("test", right)) is (_identity(left) == _identity(right))


def test_key_order_does_not_matter() -> None:
    assert canonical_bytes({"a": 1, "b": 2}) == canonical_bytes({"b": 2, "a": 1})


def test_domains_do_not_collide() -> None:
    assert digest_of("a", "b") != digest_of("ab", "")


def test_framing_keeps_neighbours_apart() -> None:
    assert canonical_bytes(["ab", "c"]) != canonical_bytes(["a", "bc"])


def test_golden() -> None:
    assert digest_of("banger.action", {"kind": "x", "inputs": [b"\x00", None, True, -7]}) == (
        "sha256:2e27c6db32c8698d680110a0e5e119ba29e41a5ba4561f267191d984ced5ccad"
    )


@pytest.mark.parametrize("value", [1.0, {1, 2}, {1: "x"}, 2**63, object(), [{"a": 0.5}]])
def test_what_has_no_stable_form_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical_bytes(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "sha256:" + "a" * 64 + "\n", "md5:" + "a" * 64])
def test_a_malformed_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a sha256 digest"):
        parse_digest(text)
