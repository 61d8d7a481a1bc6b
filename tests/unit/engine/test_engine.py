"""The engine over a real store: what runs, what is remembered, what is undone, and what a user is told."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from banger.engine.known import look_up
from banger.engine.recovery import recover
from banger.engine.run import Engine
from banger.graph.scheduler import Scheduler
from banger.graph.states import IllegalMoveError
from banger.model.errors import BangerError, DeadlineError, HostError
from banger.plan import Plan
from banger.store.state import State, open_state
from tests.fakes.clock import FakeClock
from tests.fakes.toys import LOG, ToyAsk, ToyAskFile, ToyBuild, ToyEffect, ToyGate, ToySession

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def state(tmp_path: Path, clock: FakeClock) -> Iterator[State]:
    LOG.clear()
    opened = open_state(tmp_path / "state", clock)
    yield opened
    opened.close()


class Events(list[dict[str, object]]):
    """Collects what a run tells."""

    def __call__(self, event: object) -> None:
        assert isinstance(event, dict)
        self.append(event)

    def of(self, node: str) -> list[object]:
        return [event["state"] for event in self if event["event"] == "node" and event["id"] == node]


def vm_plan(*, fail: bool = False, stuck: bool = False) -> Plan:
    plan = Plan("vm.create", "vm1")
    image = plan.add(ToyBuild(name="image"))
    disk = plan.add(ToyEffect(name="disk", content=image), node="disk")
    boot = plan.add(ToySession(name="boot", below=disk), node="boot")
    ready = plan.add(ToyGate(), after=[boot])
    plan.add(ToySession(name="sync", below=boot, fail=fail, stuck=stuck), node="sync", after=[ready])
    return plan


def held(state: State) -> list[str]:
    on_host = sorted(path.name.removeprefix("host-") for path in state.root.glob("host-*"))
    assert on_host == sorted(lease.node for lease in state.journal.all())
    return on_host


async def test_a_second_run_of_the_same_plan_applies_and_builds_nothing(state: State) -> None:
    engine = Engine(state)
    await engine.run(vm_plan(), Events())
    assert LOG == ["build image", "apply disk", "apply boot", "wait", "apply sync"]
    assert held(state) == ["boot", "disk", "sync"]
    LOG.clear()
    events = Events()
    await engine.run(vm_plan(), events)
    assert LOG == ["wait"]
    assert events.of("toy.build") == ["hit"]
    assert events.of("disk") == ["running", "hit"]
    assert (events[-1]["event"], events[-1]["cached"], events[-1]["ran"]) == ("summary", 4, 1)


async def test_a_failure_undoes_everything_in_reverse_and_names_itself(state: State) -> None:
    with pytest.raises(HostError, match="sync: broke halfway"):
        await Engine(state).run(vm_plan(fail=True), Events())
    assert LOG[-3:] == ["undo sync", "undo boot", "undo disk"]
    assert held(state) == []
    assert state.journal.all() == []


async def test_what_cannot_be_undone_stays_in_the_journal_and_is_told(state: State) -> None:
    with pytest.raises(BangerError) as caught:
        await Engine(state).run(vm_plan(fail=True, stuck=True), Events())
    assert caught.value.message == "sync: broke halfway"
    assert caught.value.__notes__ == ["release:sync: sync: will not go"]
    assert [lease.node for lease in state.journal.all()] == ["sync"]
    assert await recover(Engine(state), Events()) == ["sync: will not go"]


async def test_cancellation_undoes_everything_before_it_goes_on(state: State) -> None:
    plan = Plan("vm.create", "vm1")
    disk = plan.add(ToyEffect(name="disk"), node="disk")
    plan.add(ToyGate(opens=False), after=[disk])
    async with anyio.create_task_group() as group:
        group.start_soon(Engine(state).run, plan, Events())
        while "wait" not in LOG:  # noqa: ASYNC110 - the toys know no events
            await anyio.sleep(0.001)
        assert held(state) == ["disk"]
        group.cancel_scope.cancel()
    assert LOG == ["apply disk", "wait", "undo disk"]
    assert held(state) == []


async def test_a_run_that_is_cancelled_before_it_has_begun_does_nothing(state: State) -> None:
    plan = Plan("vm.create", "vm1")
    disk = plan.add(ToyEffect(name="disk"), node="disk")
    plan.add(ToyBuild(name="x", seconds_ms=1000))
    plan.add(ToyGate(opens=False), after=[disk])
    with anyio.CancelScope() as scope:
        scope.cancel()
        await Engine(state).run(plan, Events())
    assert scope.cancelled_caught
    assert held(state) == []
    assert state.actions.all() == []


async def test_a_gate_that_never_opens_ends_at_its_deadline(state: State) -> None:
    plan = Plan("vm.create", "vm1")
    plan.add(ToyGate(opens=False))
    with pytest.raises(DeadlineError, match=r"toy\.gate: not done after 1 s"):
        await Engine(state).run(plan, Events())


async def test_an_effect_that_has_vanished_is_applied_again(state: State) -> None:
    engine = Engine(state)
    await engine.run(vm_plan(), Events())
    (state.root / "host-boot").unlink()
    LOG.clear()
    await engine.run(vm_plan(), Events())
    assert LOG == ["undo boot", "apply boot", "wait"]


async def test_an_effect_whose_input_changed_is_replaced(state: State) -> None:
    engine = Engine(state)
    for name in ("one", "two"):
        plan = Plan("vm.create", "vm1")
        plan.add(ToyEffect(name="disk", content=plan.add(ToyBuild(name=name))), node="disk")
        await engine.run(plan, Events())
    assert LOG == ["build one", "apply disk", "build two", "undo disk", "apply disk"]
    assert (state.root / "host-disk").read_text() == "two"


async def test_a_build_downstream_of_an_equal_output_is_not_run(state: State) -> None:
    engine = Engine(state)
    (state.root / "world-tag").write_text("same")
    for version in ("a", "b"):
        plan = Plan("test")
        first = plan.add(ToyBuild(name=version, source=plan.add(ToyAsk(name="tag"))), node="first")
        plan.add(ToyBuild(name="second", parent=first), node="second")
        await engine.run(plan, Events())
    assert LOG == ["ask tag", "build a", "build second", "build b"]


async def test_a_query_is_asked_again_when_its_answer_is_old_and_changes_only_what_it_must(
    state: State, clock: FakeClock
) -> None:
    engine = Engine(state)

    async def run() -> None:
        plan = Plan("test")
        plan.add(ToyBuild(name="x", source=plan.add(ToyAsk(name="tag"))))
        await engine.run(plan, Events())

    (state.root / "world-tag").write_text("one")
    await run()
    (state.root / "world-tag").write_text("two")
    await run()
    assert LOG == ["ask tag", "build x"]
    clock.now += 61
    await run()
    assert LOG == ["ask tag", "build x", "ask tag", "build x"]


async def test_a_transient_failure_is_tried_again_and_then_remembered(state: State) -> None:
    plan = Plan("test")
    plan.add(ToyBuild(name="flaky", fail="transient"))
    events = Events()
    await Engine(state).run(plan, events)
    assert events.of("toy.build") == ["running", "retrying", "running", "retrying", "running", "done"]


async def test_a_failed_build_is_never_remembered(state: State) -> None:
    for _ in range(2):
        plan = Plan("test")
        plan.add(ToyBuild(name="bad", fail="always"))
        with pytest.raises(HostError, match="bad: no"):
            await Engine(state).run(plan, Events())
    assert LOG == ["build bad", "build bad"]
    assert state.actions.all() == []


async def test_eight_concurrent_runs_make_an_artifact_once(state: State) -> None:
    engine = Engine(state)

    async def run() -> None:
        plan = Plan("test")
        plan.add(ToyBuild(name="x", seconds_ms=30))
        await engine.run(plan, Events())

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(run)
    assert LOG == ["build x"]


async def test_a_node_that_asks_for_more_than_there_is_says_so(state: State) -> None:
    plan = Plan("test")
    plan.add(ToyBuild(name="x"))
    with pytest.raises(BangerError, match=r"toy\.build: needs 1 of cpu, and there are 0 in all"):
        await Engine(state, capacities={}).run(plan, Events())


async def test_two_vms_hold_leases_of_their_own(state: State) -> None:
    engine = Engine(state)
    for vm in ("vm1", "vm2"):
        plan = Plan("vm.create", vm)
        plan.add(ToyEffect(name=f"disk-{vm}"), node="disk")
        await engine.run(plan, Events())
    await engine.release("vm.delete", "vm1", state.journal.of_vm("vm1"), Events(), graceful=False)
    assert [lease.id for lease in state.journal.all()] == ["vm2/disk"]


@pytest.mark.requirement("DMN-018")
async def test_times_are_recorded_for_every_node(state: State) -> None:
    await Engine(state).run(vm_plan(), Events())
    ((_, _, nodes),) = state.runs.recent("vm.create", 5)
    assert {node.node for node in nodes} == {"toy.build", "disk", "boot", "toy.gate", "sync"}
    assert {node.outcome for node in nodes} == {"done"}


async def test_a_bug_in_the_engine_ends_the_run_and_gives_the_pools_back(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(state, capacities={"cpu": 2})
    plan = Plan("test")
    plan.add(ToyBuild(name="quick"), node="quick")
    plan.add(ToyBuild(name="slow", seconds_ms=5000), node="slow")

    def broken(self: Scheduler, event: object) -> None:
        raise IllegalMoveError("quick: DONE -> DONE")

    monkeypatch.setattr(Scheduler, "_on_finished", broken)
    with pytest.raises(IllegalMoveError), anyio.fail_after(3):
        await engine.run(plan, Events())
    assert engine.sharing.pools.free == {"cpu": 2}


async def test_what_is_known_before_a_run_has_the_digests_that_the_run_had(state: State) -> None:
    plan = Plan("vm.create")
    plan.add(ToyBuild(name="x", found=plan.add(ToyAskFile())), node="made")
    assert "made" not in look_up(state, plan, plan.graph()).outputs
    await Engine(state).run(plan, lambda _: None)
    known = look_up(state, plan, plan.graph())
    assert known.cache["made"] == "hit"
    assert [record.digest for record in state.actions.all()] == [known.digests["made"]]


async def test_an_error_of_a_run_names_the_node_that_failed_first(state: State) -> None:
    plan = Plan("vm.create")
    plan.add(ToyBuild(name="x", fail="always"), node="made")
    with pytest.raises(HostError) as raised:
        await Engine(state).run(plan, lambda _: None)
    assert raised.value.node == "made"
