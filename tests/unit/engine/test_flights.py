"""A Build belongs to no run: it is made once for all that want it, and called off when the last of them leaves."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from banger.engine.run import Engine
from banger.model.errors import DeadlineError, HostError
from banger.plan import Plan
from banger.store.state import State, open_state
from tests.fakes.toys import LOG, ToyBuild

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
