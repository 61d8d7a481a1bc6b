"""What is told of a change is what is hashed: two documents differ somewhere exactly if their digests do."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from banger.graph.explain import differences, document_differences
from banger.model.digest import digest_of, digest_of_action

NAMES = st.sampled_from(["name", "size", "a", "b", "ä"])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "1", "true", "sha256:0"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.builds(
    lambda kind, version, params, inputs: {"kind": kind, "version": version, "params": params, "inputs": inputs},
    st.sampled_from(["toy.a", "toy.b"]),
    st.integers(1, 3),
    st.dictionaries(NAMES, VALUES, max_size=3),
    st.dictionaries(NAMES, st.sampled_from(["sha256:" + digit * 64 for digit in "ab"]), max_size=3),
)


def _digest(document: Any) -> str:
    return digest_of_action(document["kind"], document["version"], document["params"], document["inputs"])


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_documents_differ_where_digests_do(one: Any, other: Any) -> None:
    assert bool(document_differences(one, other)) == (_digest(one) != _digest(other))


@settings(max_examples=400, deadline=None)
@given(VALUES, VALUES)
def test_values_differ_where_digests_do(one: Any, other: Any) -> None:
    assert bool(differences(one, other)) == (digest_of("test", one) != digest_of("test", other))
