"""A digest covers everything that can change the result, and nothing else; and it stays what it was."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.model.action import (
    Action,
    Flavour,
    Needs,
    Node,
    Output,
    Scope,
    action_digest,
    action_document,
)
from banger.model.digest import Digest, digest_of
from banger.tasks import Task, action_of
from tests.golden.samples import digest_of_task, example, fields_of, is_aside, two_values
from tests.golden.task_sources import LOCK, current, kinds, meaning, problems, update

DIGESTS = Path(__file__).with_name("digests.json")
KINDS = kinds()


def test_digests_are_what_they_have_always_been() -> None:
    """If this fails, everybody's cache is cold once. If that is meant, write what is printed into digests.json."""
    now = {kind: digest_of_task(example(task)) for kind, task in KINDS.items()}
    assert now == json.loads(DIGESTS.read_text()), json.dumps(now, indent=2)


def test_code_does_not_change_without_its_version() -> None:
    assert problems(json.loads(LOCK.read_text()), current()) == []


def test_only_what_the_code_says_counts_as_a_change() -> None:
    before = meaning(
        '"""A."""\nclass X:\n    """B."""\n    a: int\n    """C."""\n\n    def f(self):\n        return 1\n'
    )
    assert meaning("class X:  # why\n    a: int\n    def f(self):\n        '''D.'''\n        return 1") == before
    assert meaning("class X:\n    a: int\n    def f(self):\n        return 2") != before


def test_a_changed_source_needs_a_version_or_a_waiver() -> None:
    locked: dict[str, dict[str, str | int]] = {"k": {"version": 1, "source": "a"}}
    changed: dict[str, dict[str, str | int]] = {"k": {"version": 1, "source": "b"}}
    assert "raise its version" in problems(locked, changed)[0]
    assert "raise its version" in problems(update(locked, changed, {}), changed)[0]
    waived = update(locked, changed, {"k": "renamed a variable"})
    assert problems(waived, changed) == []
    assert waived["k"]["waived"] == "renamed a variable"
    raised: dict[str, dict[str, str | int]] = {"k": {"version": 2, "source": "b"}}
    assert problems(update(locked, raised, {}), raised) == []


FIELDS = [
    (kind, field) for kind, task in KINDS.items() for field, hint in fields_of(task).items() if not is_aside(hint)
]
ASIDES = [(kind, field) for kind, task in KINDS.items() for field, hint in fields_of(task).items() if is_aside(hint)]


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=[f"{kind}.{field}" for kind, field in FIELDS])
def test_every_parameter_and_input_changes_the_digest(kind: str, field: str) -> None:
    task = KINDS[kind]
    other = two_values(fields_of(task)[field])[1]
    assert digest_of_task(example(task)) != digest_of_task(example(task, **{field: other}))


@pytest.mark.parametrize(("kind", "field"), ASIDES, ids=[f"{kind}.{field}" for kind, field in ASIDES])
def test_what_stands_aside_changes_no_digest(kind: str, field: str) -> None:
    task = KINDS[kind]
    assert task.flavour in {Flavour.BUILD, Flavour.QUERY}, "a lease would not remember it"
    other = two_values(fields_of(task)[field])[1]
    assert digest_of_task(example(task)) == digest_of_task(example(task, **{field: other}))


@pytest.mark.parametrize("kind", KINDS)
def test_kind_and_version_change_the_digest_and_how_it_is_run_does_not(kind: str) -> None:
    action = action_of(example(KINDS[kind]))
    digest = action_digest(action, {})
    for changed in ({"kind": "other.kind"}, {"version": action.version + 1}):
        assert action_digest(msgspec.structs.replace(action, **changed), {}) != digest
    hows: dict[str, Any] = {
        "flavour": next(one for one in Flavour if one is not action.flavour),
        "needs": Needs(pools=(("other", 3),), network=not action.needs.network, privileged=True),
        "scope": next(one for one in Scope if one is not action.scope),
        "deadline_s": action.deadline_s + 1,
        "retries": action.retries + 1,
        "post_mortem": not action.post_mortem,
    }
    assert {"kind", "version", "params", *hows} == set(Action.__struct_fields__), "is the new one part of the identity?"
    for name, value in hows.items():
        assert action_digest(msgspec.structs.replace(action, **{name: value}), {}) == digest, name


def test_name_label_and_order_of_a_node_are_no_part_of_its_identity() -> None:
    assert set(Node.__struct_fields__) == {"id", "action", "inputs", "after", "label"}
    assert set(action_document(action_of(example(KINDS["bench.node"])), {})) == {"kind", "version", "params", "inputs"}


NAMES = st.from_regex(r"[a-z_]{1,8}(\.[0-9])?", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    kind=st.sampled_from(("disk.rootfs", "100%s", "%", "ü")),
    version=st.integers(0, 99),
    params=st.dictionaries(NAMES, VALUES, max_size=4),
    inputs=st.dictionaries(NAMES, st.binary(min_size=32, max_size=32), max_size=4),
)
def test_the_short_way_to_an_action_digest_is_the_long_way(
    kind: str, version: int, params: dict[str, Any], inputs: dict[str, bytes]
) -> None:
    action = Action(kind=kind, version=version, flavour=Flavour.BUILD, params=params)
    digests = {name: Digest(f"sha256:{value.hex()}") for name, value in inputs.items()}
    assert action_digest(action, digests) == digest_of("banger.action", action_document(action, digests))


@given(VALUES)
def test_the_short_way_to_an_output_digest_is_the_long_way(value: Any) -> None:
    assert Output(value).digest == digest_of("banger.output", {"value": value, "artifacts": []})


def test_an_output_is_identified_by_its_artifacts_too() -> None:
    artifacts = (digest_of("test", 1),)
    assert Output(1, artifacts).digest == digest_of("banger.output", {"value": 1, "artifacts": list(artifacts)})
    assert Output(1, artifacts).digest != Output(1).digest


def test_every_kind_is_an_example_of_itself() -> None:
    for task in KINDS.values():
        assert isinstance(example(task), Task)
