"""What is done once more because the user says so: queries asked again, builds made again."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest

from banger.engine.afresh import nodes_called, queries_of, refresh
from banger.engine.preview import preview
from banger.engine.run import Engine
from banger.engine.tell import why_view
from banger.model.errors import BangerError, HostError, SpecError
from banger.plan import Plan
from banger.store.state import State, open_state
from banger.tasks import Context, Query
from tests.fakes.toys import LOG, Text, ToyAsk, ToyBuild, ToyGate, register

pytestmark = pytest.mark.anyio

WORLD = "world-w"
THROWS = count()


class ToyWeather(ToyAsk, frozen=True, kw_only=True):
    """A query that fails as the network does."""

    kind: ClassVar[str] = "toy.weather"

    async def ask(self, ctx: Context) -> str:
        try:
            return await super().ask(ctx)
        except FileNotFoundError as error:
            raise HostError("the world does not answer") from error


class ToyDice(ToyBuild, frozen=True, kw_only=True):
    """A build that is not one: it puts out something else each time."""

    kind: ClassVar[str] = "toy.dice"

    async def build(self, ctx: Context) -> Text:
        LOG.append("dice")
        return Text(ctx.keep_bytes(str(next(THROWS)).encode()), 1)


register(ToyWeather, ToyDice)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    LOG.clear()
    opened = open_state(tmp_path)
    (tmp_path / WORLD).write_text("sun")
    yield opened
    opened.close()


def plan_of_two() -> Plan:
    plan = Plan("toy")
    asked = plan.add(ToyWeather(name="w"), node="ask")
    below = plan.add(ToyBuild(name="below", source=asked), node="below")
    plan.add(ToyBuild(name="above", parent=below), node="above")
    plan.add(ToyGate(), node="gate")
    return plan


async def log_of(engine: Engine, plan: Plan, **options: Any) -> list[str]:
    LOG.clear()
    await engine.run(plan, None, **options)
    return [line for line in LOG if line != "wait"]


async def test_a_forced_build_is_made_again_and_what_stands_on_it_is_not(state: State) -> None:
    engine, plan = Engine(state, {"cpu": 2}), plan_of_two()
    await engine.run(plan, None)
    assert await log_of(engine, plan) == []
    assert await log_of(engine, plan, again={"below"}) == ["build below"]
    why = why_view(state, "below", None, None)
    assert (why.reason, why_view(state, "above", None, None).reason) == ("forced", None)
    assert await log_of(engine, plan) == []


async def test_a_plan_says_what_is_forced(state: State) -> None:
    engine, plan = Engine(state, {"cpu": 2}), plan_of_two()
    await engine.run(plan, None)
    nodes = {node.id: node for node in preview(state, plan, {"cpu": 2}, {"below"}).nodes}
    assert (nodes["below"].cache, nodes["below"].reason) == ("miss", "forced")
    assert nodes["above"].cache == "unknown"


async def test_a_forced_build_that_comes_out_otherwise_is_told_of(state: State) -> None:
    engine, plan = Engine(state, {"cpu": 2}), Plan("toy")
    dice = plan.add(ToyDice(name="dice"), node="dice")
    plan.add(ToyBuild(name="above", parent=dice), node="above")
    told: list[str] = []
    await engine.run(plan, lambda event: told.append(event.get("text", "")))
    assert not any(told)
    assert await log_of(engine, plan, again={"dice"}) == ["dice", "build above"]
    await engine.run(plan, lambda event: told.append(event.get("text", "")), again={"dice"})
    assert [text for text in told if text] == ["dice came out otherwise than before: it is not reproducible"]


async def test_refresh_asks_all_queries_and_makes_nothing(state: State, tmp_path: Path) -> None:
    engine, plan = Engine(state, {"cpu": 2}), plan_of_two()
    await engine.run(plan, None)
    (tmp_path / WORLD).write_text("rain")
    assert await log_of(engine, plan) == []
    LOG.clear()
    await refresh(engine, plan, lambda _: None)
    assert LOG == ["ask w"]
    assert await log_of(engine, plan) == ["build below", "build above"]
    assert why_view(state, "below", None, None).reason == "input:source"


async def test_a_refresh_that_fails_leaves_the_earlier_answer(state: State, tmp_path: Path) -> None:
    engine, plan = Engine(state, {"cpu": 2}), plan_of_two()
    await engine.run(plan, None)
    (tmp_path / WORLD).unlink()
    with pytest.raises(BangerError, match="does not answer") as caught:
        await refresh(engine, plan, lambda _: None)
    assert caught.value.hint == "leave --refresh out, to go on with the earlier answers"
    assert await log_of(engine, plan) == []


def test_only_queries_that_rest_on_queries_are_asked() -> None:
    class Never(ToyAsk, frozen=True, kw_only=True):
        ttl_s: ClassVar[int] = 0

    plan = plan_of_two()
    plan.add(Never(name="n"), node="never-remembered")
    assert isinstance(plan.tasks["ask"], Query)
    assert list(queries_of(plan).tasks) == ["ask"]


def test_a_name_that_nothing_has_is_refused_with_those_that_would_do() -> None:
    plan = plan_of_two()
    assert nodes_called(plan, ["toy.build"]) == {"below", "above"}
    assert nodes_called(plan, ["below", "ask"]) == {"below", "ask"}
    with pytest.raises(SpecError, match=r"these can: ask, below, above$"):
        nodes_called(plan, ["gate"])
