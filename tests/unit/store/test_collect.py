"""Collection keeps what is needed, takes the cheapest first, and never takes from under a running operation."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from banger.model.action import Output
from banger.model.digest import Digest, digest_of
from banger.model.vm import GIB, Sizes, VmRequest
from banger.store.actions import Record
from banger.store.collect import Policy, Survey, Unit, choose, perform, survey
from banger.store.journal import InputValue, Lease
from banger.store.roots import mark
from banger.store.state import State
from tests.crash.store_work import close_parts, lease, open_parts

DAY_S = 86400.0
NOW = 100 * DAY_S


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = open_parts(tmp_path / "state")
    yield state
    close_parts(state)


def named(name: str) -> Digest:
    return digest_of("test", name)


def unit(name: str, *artifacts: str, seconds: float = 1.0, unused_days: float = 0.0) -> Unit:
    digests = tuple(named(artifact) for artifact in artifacts)
    used_at = NOW - unused_days * DAY_S
    record = Record(named(f"record {name}"), "toy", name, Output(None, digests), used_at, used_at, seconds)
    return Unit(record, digests)


def found(units: list[Unit], sizes: dict[str, int], owners: dict[str, list[str]] | None = None) -> Survey:
    return Survey(
        tuple(units),
        {named(name): size for name, size in sizes.items()},
        {named(name): who for name, who in (owners or {}).items()},
    )


def gone(survey: Survey, policy: Policy) -> list[str]:
    return [one.unit.record.label if one.unit.record else "orphan" for one in choose(survey, policy, NOW)]


def test_the_cheapest_to_make_again_for_each_byte_goes_first() -> None:
    units = [unit("dear", "a", seconds=100.0), unit("cheap", "b", seconds=1.0), unit("huge", "c", seconds=50.0)]
    survey = found(units, {"a": 100, "b": 100, "c": 100_000})
    assert gone(survey, Policy()) == ["huge", "cheap", "dear"]
    assert gone(survey, Policy(max_bytes=200)) == ["huge"]
    assert gone(survey, Policy(max_bytes=199)) == ["huge", "cheap"]
    assert gone(survey, Policy(max_bytes=200_000)) == []


def test_what_was_not_used_for_long_is_worth_less() -> None:
    units = [unit("fresh", "a", seconds=10.0), unit("stale", "b", seconds=30.0, unused_days=9)]
    assert gone(found(units, {"a": 100, "b": 100}), Policy(max_bytes=100)) == ["stale"]


def test_an_age_spares_what_was_used_since() -> None:
    units = [unit("fresh", "a"), unit("stale", "b", unused_days=9)]
    assert gone(found(units, {"a": 1, "b": 1}), Policy(older_than_s=DAY_S)) == ["stale"]


def test_what_is_kept_stays_and_what_nothing_remembers_goes_whatever_the_policy() -> None:
    units = [unit("kept", "a", seconds=0.1), unit("loose", "b"), Unit(None, (named("lost"),))]
    survey = found(units, {"a": 100, "b": 100, "lost": 1}, {"a": ["vm"]})
    assert gone(survey, Policy()) == ["orphan", "loose"]
    assert gone(survey, Policy(max_bytes=10**9)) == ["orphan"]


def test_an_artifact_of_two_actions_is_freed_with_the_last_of_them() -> None:
    survey = found(
        [unit("one", "shared", "a"), unit("two", "shared", "b", seconds=99.0)], {"shared": 50, "a": 1, "b": 1}
    )
    first, second = choose(survey, Policy(), NOW)
    assert (first.frees, first.disk_bytes) == ((named("a"),), 1)
    assert (second.frees, second.disk_bytes) == ((named("shared"), named("b")), 51)


def remember(state: State, name: str, *contents: bytes) -> tuple[Digest, ...]:
    artifacts = tuple(state.cas.put_bytes(data) for data in contents)
    output = Output({"files": list(artifacts)}, artifacts)
    state.actions.put(named(name), {"kind": "toy"}, output, label=name, run_id="r", seconds=1.0)
    return artifacts


def collect(state: State) -> list[str]:
    with state.cas.uses.operation() as since:
        chosen = choose(survey(state), Policy(), state.clock.wall())
        done = perform(state, chosen, since=since)
    return sorted(one.unit.record.label if one.unit.record else "orphan" for one in done)


def test_a_collection_frees_the_bytes_and_forgets_the_records(state: State) -> None:
    remember(state, "one", b"a" * 5000, b"b")
    state.cas.put_bytes(b"orphan")
    assert collect(state) == ["one", "orphan"]
    assert state.cas.all() == []
    assert state.actions.all() == []
    assert not list((state.cas.root / "trash").iterdir())


def test_what_a_running_operation_has_looked_up_stays(state: State) -> None:
    remember(state, "hit", b"a")
    remember(state, "other", b"b")
    with state.cas.uses.operation():
        assert state.actions.get(named("hit"))
        new = state.cas.put_bytes(b"just made, not recorded yet")
        assert collect(state) == ["other"]
        assert state.actions.get(named("hit"))
        assert state.cas.read(new)
    assert collect(state) == ["hit", "orphan"]


def test_what_is_looked_up_between_the_choice_and_the_deed_stays(state: State) -> None:
    (one,) = remember(state, "one", b"a")
    with state.cas.uses.operation() as since:
        chosen = choose(survey(state), Policy(), state.clock.wall())
        with state.cas.uses.operation():
            state.cas.path(one)
        # That operation is over; a VM may stand on the object by now, and this survey does not know it.
        assert perform(state, chosen, since=since) == []
    assert state.cas.read(one) == b"a"


def test_an_artifact_that_is_in_use_stays_for_every_action_that_shares_it(state: State) -> None:
    _, mine = remember(state, "one", b"shared", b"a")
    remember(state, "two", b"shared", b"b")
    with state.cas.uses.operation():
        state.cas.path(mine)
        collect(state)
        assert state.actions.get(named("one"))


def test_uses_are_forgotten_with_the_last_operation(state: State) -> None:
    with state.cas.uses.operation():
        state.cas.put_bytes(b"x")
        assert state.cas.uses._touched
    assert not state.cas.uses._touched
    state.cas.put_bytes(b"y")
    assert not state.cas.uses._touched


def test_a_vm_keeps_what_it_was_made_from_and_what_was_made_with_it(state: State) -> None:
    image, extra = remember(state, "image", b"image", b"made with it")
    inner = state.cas.put_bytes(b"in a tree")
    listing = state.cas.put_bytes(b'{"usr/file": ["%s", 9]}' % inner.encode())
    state.vms.add("vm", "box", VmRequest(sizes=Sizes(1, 512, GIB)))
    inputs = {
        "image": InputValue("image", {"digest": image, "size": 5}),
        "tree": InputValue("tree", {"listing": {"digest": listing, "size": 1}}),
    }
    state.journal.intend(lease_with(inputs))
    state.cas.put_bytes(b"loose")
    assert mark(state) == {digest: ["box"] for digest in (image, extra, inner, listing)}
    assert collect(state) == ["orphan"]
    assert {*state.cas.all()} == {image, extra, inner, listing}
    state.journal.drop("vm/1")
    assert collect(state) == ["image", "orphan", "orphan"]


def lease_with(inputs: dict[str, InputValue]) -> Lease:
    return msgspec.structs.replace(lease(1), inputs=inputs)


def test_a_pin_keeps_an_artifact_until_it_is_taken_away(state: State) -> None:
    (digest,) = remember(state, "one", b"a")
    state.pins.add(digest, "for the demo")
    state.pins.add(digest, "for the demo on Friday")
    assert [(pin.digest, pin.note) for pin in state.pins.all()] == [(digest, "for the demo on Friday")]
    assert collect(state) == []
    state.pins.remove(digest)
    assert collect(state) == ["one"]


def test_ten_thousand_objects_are_chosen_from_in_a_second() -> None:
    units = [unit(str(number), str(number), seconds=number % 97) for number in range(10_000)]
    survey = found(units, {str(number): 1000 + number for number in range(10_000)})
    begun = time.monotonic()
    assert len(choose(survey, Policy(), NOW)) == 10_000
    assert time.monotonic() - begun < 5
