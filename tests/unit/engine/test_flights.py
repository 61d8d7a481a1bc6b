"""A Build belongs to no run: it is made once for all that want it, and called off when the last of them leaves."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import anyio
import anyio.lowlevel
import pytest

from banger.engine.run import Engine
from banger.model.errors import DeadlineError, HostError
from banger.plan import Plan
from banger.store.state import State, open_state
from banger.tasks import Context
from tests.fakes.toys import LOG, Text, ToyBuild

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


class Runs:
    """Runs of the same one-Build plan, each of which can be cancelled and tells its events."""

    def __init__(self, state: State, **build: object) -> None:
        self.engine = Engine(state)
        self.build = build
        self.scopes: list[anyio.CancelScope] = []
        self.events: list[list[dict[str, object]]] = []
        self.errors: list[BaseException] = []

    async def run(self) -> None:
        plan = Plan("test")
        plan.add(ToyBuild(name="x", **self.build), label="image")  # type: ignore[arg-type]
        told: list[dict[str, object]] = []
        scope = anyio.CancelScope()
        self.scopes.append(scope)
        self.events.append(told)
        with scope:
            try:
                await self.engine.run(plan, lambda event: told.append(dict(event)))
            except HostError as error:
                self.errors.append(error)

    def states(self, number: int) -> list[object]:
        return [event["state"] for event in self.events[number] if event["event"] == "node"]


async def test_the_run_that_began_it_may_leave_and_the_others_get_it(state: State) -> None:
    runs = Runs(state, seconds_ms=150)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(runs.run)
        await anyio.sleep(0.02)
        runs.scopes[0].cancel()
    assert LOG == ["build x"]
    assert runs.states(0) == ["running", "cancelled"]
    assert runs.states(1) == runs.states(2) == ["waiting", "hit"]
    assert len(state.actions.all()) == 1


async def test_who_leaves_does_not_wait_for_the_work_of_others(state: State) -> None:
    runs = Runs(state, seconds_ms=2000)
    async with anyio.create_task_group() as group:
        group.start_soon(runs.run)
        await anyio.sleep(0.02)
        with anyio.move_on_after(0.05) as impatient:
            await runs.run()
        assert impatient.cancelled_caught
        with anyio.fail_after(1):  # it is over at once
            while "cancelled" not in runs.states(1):  # noqa: ASYNC110 - events of a run are no events of a loop
                await anyio.sleep(0.001)
        assert runs.states(0) == ["running"]
        group.cancel_scope.cancel()


async def test_the_work_is_called_off_when_the_last_leaves(state: State) -> None:
    runs = Runs(state, seconds_ms=5000)
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(runs.run)
        await anyio.sleep(0.02)
        for scope in runs.scopes:
            scope.cancel()
    assert LOG == ["build x"]
    assert state.actions.all() == []
    assert list(state.scratch.root.iterdir()) == []


async def test_who_comes_while_it_is_being_called_off_gets_a_flight_of_its_own(state: State) -> None:
    runs = Runs(state, seconds_ms=100, slow_to_stop_ms=150)
    async with anyio.create_task_group() as group:
        group.start_soon(runs.run)
        await anyio.sleep(0.01)
        runs.scopes[0].cancel()
        await anyio.sleep(0.01)
        group.start_soon(runs.run)
        group.start_soon(runs.run)
    assert LOG == ["build x", "build x"]
    assert {str(runs.states(1)[-1]), str(runs.states(2)[-1])} == {"done", "hit"}


async def test_a_waiter_is_told_what_it_waits_for(state: State) -> None:
    runs = Runs(state, seconds_ms=150)
    async with anyio.create_task_group() as group:
        group.start_soon(runs.run)
        group.start_soon(runs.run)
    (waiting,) = [event for event in runs.events[1] if event.get("state") == "waiting"]
    assert str(waiting["detail"]).startswith("test ")
    assert str(waiting["detail"]).endswith(" is making it")


async def test_a_failure_is_everybodys(state: State) -> None:
    runs = Runs(state, seconds_ms=150, fail="always")
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(runs.run)
    assert LOG == ["build x"]
    assert len(runs.errors) == 3


@pytest.mark.parametrize("armed_after_s", [1.0, 0.01])
async def test_a_build_that_takes_too_long_ends_at_its_deadline(
    state: State, monkeypatch: pytest.MonkeyPatch, armed_after_s: float
) -> None:
    monkeypatch.setattr(ToyBuild, "deadline_s", 0.05)
    monkeypatch.setattr("banger.engine.flights._ARM_AFTER_S", armed_after_s)
    runs = Runs(state, seconds_ms=5000)
    await runs.run()
    (error,) = runs.errors
    assert isinstance(error, DeadlineError)
    assert str(error) == "toy.build: not done after 0.05 s"


async def test_a_record_is_durable_soon_even_if_nothing_else_happens(state: State) -> None:
    plan = Plan("test")
    quick = plan.add(ToyBuild(name="quick"), node="quick")
    plan.add(ToyBuild(name="slow", parent=quick, seconds_ms=5000), node="slow")
    async with anyio.create_task_group() as group:
        group.start_soon(Engine(state).run, plan, None)
        with anyio.fail_after(2):
            while not state.actions.all():  # noqa: ASYNC110 - a database tells nobody
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert len(state.actions.all()) == 1


class ToyBusy(ToyBuild, frozen=True, kw_only=True):
    """Works for a while and never waits."""

    kind: ClassVar[str] = "toy.busy"

    async def build(self, ctx: Context) -> Text:
        until = time.monotonic() + self.seconds_ms / 1000
        while time.monotonic() < until:
            pass
        return Text(ctx.keep_bytes(self.name.encode()), len(self.name))


async def test_builds_that_wait_are_under_way_at_once(state: State) -> None:
    plan = Plan("test")
    for number in range(4):
        plan.add(ToyBuild(name=str(number), seconds_ms=400), node=str(number))
    begun = time.monotonic()
    await Engine(state, {"cpu": 4}).run(plan, None)
    assert time.monotonic() - begun < 1.5, "one waited for another"


async def test_builds_that_never_wait_let_others_have_the_event_loop(state: State) -> None:
    plan = Plan("test")
    before = None
    for number in range(40):
        before = plan.add(ToyBusy(name=str(number), parent=before, seconds_ms=6), node=str(number))
    turns = 0
    async with anyio.create_task_group() as group:

        async def look_around() -> None:
            nonlocal turns
            while True:
                turns += 1
                await anyio.lowlevel.checkpoint()

        group.start_soon(look_around)
        await Engine(state, {"cpu": 1}).run(plan, None)
        group.cancel_scope.cancel()
    assert turns >= 20


async def test_what_is_called_off_before_it_has_begun_never_begins(state: State) -> None:
    engine = Engine(state, {"cpu": 20})
    plan = Plan("test")
    for number in range(20):
        plan.add(ToyBusy(name=str(number), seconds_ms=20), node=str(number))
    with anyio.move_on_after(0.02) as impatient:
        await engine.run(plan, None)
    assert impatient.cancelled_caught
    assert len(state.actions.all()) < 20
    await engine.run(plan, None)  # and nothing of it is in the way
    assert len(state.actions.all()) == 20


async def test_one_that_fails_or_is_late_does_not_take_those_behind_it_along(
    state: State,
) -> None:
    class ToyLate(ToyBuild, frozen=True, kw_only=True):
        kind: ClassVar[str] = "toy.late"
        deadline_s: ClassVar[float] = 0.05  # type: ignore[assignment]

    plan = Plan("test")
    plan.add(ToyLate(name="late", seconds_ms=5000), node="late")
    plan.add(ToyBuild(name="fails", fail="always"), node="fails")
    for number in range(5):
        plan.add(ToyBuild(name=str(number), seconds_ms=100), node=str(number))
    with pytest.raises(HostError):
        await Engine(state, {"cpu": 1}).run(plan, None, keep_going=True)
    assert {one.kind for one in state.actions.all()} == {"toy.build"}
    assert len(state.actions.all()) == 5
