"""The record of times adds up: where a run's time went is known to the last microsecond."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import anyio
import pytest

from banger.engine.run import Engine
from banger.graph.paths import binding_path
from banger.model.errors import HostError, SpecError
from banger.plan import Plan
from banger.store.runs import NodeRun
from banger.store.state import State, open_state
from tests.fakes.toys import LOG, ToyBuild, ToyEffect, ToyGate

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    LOG.clear()
    opened = open_state(tmp_path / "state")
    yield opened
    opened.close()


def busy_plan() -> Plan:
    plan = Plan("vm.create", "vm1")
    builds = [plan.add(ToyBuild(name=f"b{number}", seconds_ms=30), node=f"b{number}") for number in range(3)]
    disk = plan.add(ToyEffect(name="disk", content=builds[0]), node="disk")
    plan.add(ToyBuild(name="flaky", fail="transient", seconds_ms=10), node="flaky")
    plan.add(ToyGate(), after=[disk, *builds], node="gate")
    return plan


async def records(state: State, monkeypatch: pytest.MonkeyPatch) -> tuple[float, list[NodeRun]]:
    monkeypatch.setattr("banger.engine.driver._BACKOFF_FIRST_S", 0.02)
    await Engine(state, capacities={"cpu": 1}).run(busy_plan(), None)
    ((_, seconds, nodes),) = state.runs.recent("vm.create", 1)
    return seconds, nodes


async def test_waiting_dispatch_run_and_publish_make_up_the_time_of_the_run(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, nodes = await records(state, monkeypatch)
    assert len(nodes) == 8  # two of them are attempts that were tried again
    for node in nodes:
        assert all(stage >= 0 for stage in node.stages().values()), node
        assert sum(node.stages().values()) == pytest.approx(node.published_s, abs=1e-9)
    assert seconds == pytest.approx(max(node.published_s for node in nodes), abs=0.25)  # then the record is written


async def test_the_binding_path_covers_the_whole_run_without_a_gap(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, nodes = await records(state, monkeypatch)
    last = {node.node: node for node in nodes}
    path = binding_path(
        {name: node.published_s for name, node in last.items()},
        {name: node.bound_by for name, node in last.items() if node.attempt == 1},
    )
    for before, after in pairwise(path):
        node = last[after]
        began = node.claimed_s if last[before].published_s > node.queued_s else node.queued_s
        assert began == last[before].published_s, "somebody else made it start"
    spent = sum(
        node.published_s - (last[path[place - 1]].published_s if place else 0.0)
        for place, node in enumerate(last[name] for name in path)
    )
    assert spent == pytest.approx(max(node.published_s for node in nodes))


async def test_an_attempt_has_a_record_of_its_own(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    _, nodes = await records(state, monkeypatch)
    attempts = [(node.attempt, node.outcome) for node in nodes if node.node == "flaky"]
    assert attempts == [(1, "retrying"), (2, "retrying"), (3, "done")]
    second = next(node for node in nodes if node.node == "flaky" and node.attempt == 2)
    assert second.bound_by == "flaky"


async def test_a_failed_run_has_its_times_too_and_tells_every_error(state: State) -> None:
    plan = Plan("test")
    for name in ("one", "two"):
        plan.add(ToyBuild(name=name, fail="always", seconds_ms=20), node=name)
    with pytest.raises(HostError) as caught:
        await Engine(state, capacities={"cpu": 2}).run(plan, None, keep_going=True)
    assert {caught.value.message, *caught.value.__notes__} in (
        {"one: no", "two: two: no"},
        {"two: no", "one: one: no"},
    )
    rows = state.database.rows("SELECT node, outcome FROM node_runs")
    assert {(row["node"], row["outcome"]) for row in rows} == {("one", "failed"), ("two", "failed")}


async def test_what_can_never_fit_is_refused_before_anything_is_done(state: State) -> None:
    plan = Plan("test")
    plan.add(ToyBuild(name="first"), node="first")
    plan.add(ToyEffect(name="vm", needs_mib=4096), node="vm")
    with pytest.raises(SpecError, match="vm: needs 4096 of memory_mib, and there are 1024 in all") as caught:
        await Engine(state, capacities={"cpu": 1, "memory_mib": 1024}).run(plan, None)
    assert caught.value.hint == "ask for less with --memory"
    assert LOG == []


async def test_effects_that_need_memory_wait_for_each_other(state: State) -> None:
    engine = Engine(state, capacities={"memory_mib": 1024})
    most = now = 0

    def tell(event: object) -> None:
        nonlocal most, now
        assert isinstance(event, dict)
        now += {"running": 1, "done": -1}.get(str(event.get("state")), 0)
        most = max(most, now)

    async def run(number: int) -> None:
        plan = Plan("vm.create", f"vm{number}")
        plan.add(ToyEffect(name=f"vm{number}", needs_mib=700), node="vm")
        await engine.run(plan, tell)

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(run, number)
    assert most == 1
    assert len(state.journal.all()) == 4
