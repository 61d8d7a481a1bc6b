"""Why nodes ran, what a plan foresees, and what is kept of runs: the engine over a real store."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from banger.engine.preview import preview
from banger.engine.run import Engine
from banger.engine.tell import mode_of, run_rows, run_view, why_view
from banger.graph.timeline import critical_path, wall_without
from banger.model.errors import BangerError, NotFoundError, SpecError
from banger.model.history import REASONS, WhyView
from banger.plan import Plan
from banger.store import history as store_history
from banger.store.runs import NodeRun
from banger.store.state import State, open_state
from banger.tasks import Context, File, Query, Ref
from tests.fakes.clock import FakeClock
from tests.fakes.toys import LOG, ToyAsk, ToyBuild, ToyEffect, ToyGate, register

pytestmark = pytest.mark.anyio

CAPACITIES = {"cpu": 2}


class ToyFind(Query[File], frozen=True, kw_only=True):
    """A query that puts out an artifact, as `guest.programs` does."""

    kind: ClassVar[str] = "toy.find"
    version: ClassVar[int] = 1
    ttl_s: ClassVar[int] = 60

    async def ask(self, ctx: Context) -> File:
        return ctx.keep_bytes((ctx.state.root / "world-file").read_bytes())


class ToyUse(ToyBuild, frozen=True, kw_only=True):
    kind: ClassVar[str] = "toy.use"
    found: Ref[File] | None = None


class ToyBuild2(ToyBuild, frozen=True, kw_only=True):
    """The same kind, after its code has changed."""

    version: ClassVar[int] = 2


register(ToyFind, ToyUse)


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
    (opened.root / "world-tag").write_text("one")
    (opened.root / "world-file").write_text("content")
    yield opened
    opened.close()


def chain(name: str = "x", *, fail: str = "", kind: type[ToyBuild] = ToyBuild) -> Plan:
    """tag -> first -> second -> disk, with a query of a file beside."""
    plan = Plan("test", "vm1")
    tag = plan.add(ToyAsk(name="tag"), node="tag")
    first = plan.add(kind(name=name, source=tag), node="first")
    second = plan.add(ToyBuild(name="second", parent=first, fail=fail), node="second")
    found = plan.add(ToyFind(), node="file")
    plan.add(ToyUse(name="use", found=found), node="use")
    disk = plan.add(ToyEffect(name="disk", content=second), node="disk")
    plan.add(ToyGate(), node="ready", after=[disk])
    return plan


async def run(state: State, plan: Plan) -> None:
    await Engine(state, capacities=CAPACITIES).run(plan, lambda _: None)


def leaves(view: WhyView) -> Mapping[str, list[tuple[str, str | None, str | None]]]:
    return {step.node: [(one.what, one.before, one.after) for one in step.changes] for step in view.steps if step.leaf}


async def test_a_node_that_no_run_had_before_is_new(state: State) -> None:
    await run(state, chain())
    view = why_view(state, "second", None, None)
    assert (view.reason, view.against) == ("new", None)


async def test_a_changed_parameter_is_followed_down_from_what_it_made_stale(state: State) -> None:
    await run(state, chain("x"))
    await run(state, chain("longer"))
    view = why_view(state, "second", None, None)
    assert view.reason == "input:parent" or view.cache == "hit"
    assert why_view(state, "first", None, None).reason == "params"
    assert leaves(why_view(state, "first", None, None)) == {"first": [("params.name", "x", "longer")]}


async def test_a_new_answer_of_a_query_is_the_leaf_of_all_that_it_made_stale(state: State, clock: FakeClock) -> None:
    await run(state, chain())
    (state.root / "world-tag").write_text("two")
    clock.now += 61
    await run(state, chain())
    view = why_view(state, "second", None, None)
    assert view.reason == "input:parent"
    assert [(step.node, step.reason) for step in view.steps] == [
        ("second", "input:parent"),
        ("first", "input:source"),
        ("tag", "ttl"),
    ]
    assert leaves(view) == {"tag": [("value", "one", "two")]}
    assert view.stale == ["first", "second", "disk"]
    assert why_view(state, "disk", None, None).reason == "effect"


async def test_what_stands_on_an_equal_output_is_not_affected(state: State) -> None:
    await run(state, chain("x"))
    await run(state, chain("y"))  # `first` puts out what the tag says, whatever it is called
    view = why_view(state, "first", None, None)
    assert view.reason == "params"
    assert (view.stale, view.unmoved) == ([], ["second"])
    assert why_view(state, "second", None, None).reason is None


async def test_a_raised_version_is_the_reason(state: State) -> None:
    await run(state, chain())
    await run(state, chain(kind=ToyBuild2))
    view = why_view(state, "first", None, None)
    assert view.reason == "version"
    assert leaves(view) == {"first": [("version", "1", "2")]}


async def test_what_was_collected_is_made_again_because_it_was_evicted(state: State) -> None:
    await run(state, chain())
    for record in state.actions.all():
        if record.kind == "toy.use":
            state.actions.forget(record.digest)
    assert node_reasons(state, chain())["use"] == "evicted"
    await run(state, chain())
    assert why_view(state, "use", None, None).reason == "evicted"


async def test_an_answer_that_is_too_old_is_the_reason_to_ask_again(state: State, clock: FakeClock) -> None:
    await run(state, chain())
    clock.now += 61
    await run(state, chain())
    assert why_view(state, "tag", None, None).reason == "ttl"
    assert why_view(state, "first", None, None).reason is None


async def test_what_the_run_before_did_not_get_done_is_said(state: State) -> None:
    with pytest.raises(BangerError):
        await run(state, chain(fail="always"))
    await run(state, chain(fail="always-not"))
    assert why_view(state, "second", None, None).reason == "previous-failed"


async def test_any_two_runs_can_be_compared(state: State) -> None:
    for name in ("a", "b", "c"):
        await run(state, chain(name))
    newest, _, oldest = (row.id for row in run_rows(state, 10, None))
    assert leaves(why_view(state, "first", newest, oldest)) == {"first": [("params.name", "a", "c")]}
    assert leaves(why_view(state, "first", oldest, newest)) == {"first": [("params.name", "c", "a")]}


async def test_a_node_or_run_that_is_not_there_is_refused_with_what_to_type(state: State) -> None:
    await run(state, chain())
    with pytest.raises(NotFoundError, match="no recent run has a node 'nonsense'"):
        why_view(state, "nonsense", None, None)
    with pytest.raises(NotFoundError, match="there is no run 'ffff"):
        why_view(state, "first", "ffffffffffffffffffffffffffffffffff", None)
    for number in range(2):
        state.runs.begin(f"same{number}", "test", None)
    with pytest.raises(SpecError, match="several runs begin with") as caught:
        state.history.find("same")
    assert caught.value.hint == "banger runs ls"


def node_reasons(state: State, plan: Plan) -> dict[str, str | None]:
    return {node.id: node.reason for node in preview(state, plan, CAPACITIES).nodes}


@pytest.mark.parametrize("forgotten", [(), ("toy.build",), ("toy.use",), ("toy.find",)], ids=str)
async def test_what_a_plan_calls_a_hit_is_one_in_the_run(state: State, forgotten: tuple[str, ...]) -> None:
    await run(state, chain())
    for record in state.actions.all():
        if record.kind in forgotten:
            state.actions.forget(record.digest)
    if "toy.find" in forgotten:
        (artifact,) = [node.output for node in state.history.graph(state.history.find("last").id) if node.id == "file"]
        assert artifact is not None
        value = state.history.documents([artifact])[artifact]
        assert isinstance(value, Mapping)
        state.cas.remove(value["digest"])  # type: ignore[arg-type]
    foreseen = {node.id: node for node in preview(state, chain(), CAPACITIES).nodes}
    await run(state, chain())
    for node in run_view(state, "last", CAPACITIES).nodes:
        if node.flavour in {"build", "query"}:
            assert foreseen[node.id].cache in {node.cache, "unknown"}, node.id
        if foreseen[node.id].digest is not None:
            assert foreseen[node.id].digest == node.digest
    states = {name: node.cache for name, node in foreseen.items()}
    assert states["file"] == ("miss" if "toy.find" in forgotten else "hit")
    assert states["use"] == ("unknown" if "toy.find" in forgotten else "miss" if "toy.use" in forgotten else "hit")


async def test_a_plan_changes_nothing(state: State) -> None:
    await run(state, chain())
    before = state.database.connection.total_changes
    preview(state, chain("other"), CAPACITIES)
    assert state.database.connection.total_changes == before
    assert LOG.count("build other") == 0


async def test_a_plan_gives_its_reasons_and_they_are_those_of_the_run(state: State) -> None:
    await run(state, chain())
    foreseen = node_reasons(state, chain("other", kind=ToyBuild2))
    assert foreseen["first"] == "version"
    assert foreseen["use"] is None
    await run(state, chain("other", kind=ToyBuild2))
    assert why_view(state, "first", None, None).reason == foreseen["first"]


async def test_a_plan_honours_pools(state: State) -> None:
    plan = Plan("test")
    for name in ("a", "b", "c"):
        plan.add(ToyBuild(name=name), node=name)
    await run(state, Plan("test", None, dict(plan.tasks), list(plan.nodes)))
    state.database.connection.execute("UPDATE node_runs SET started_s = 0.0, finished_s = 2.0")
    for record in state.actions.all():
        state.actions.forget(record.digest)
    assert preview(state, plan, {"cpu": 3}).predicted_s == pytest.approx(2.0)
    assert preview(state, plan, {"cpu": 2}).predicted_s == pytest.approx(4.0)
    view = preview(state, plan, {"cpu": 1})
    assert view.predicted_s == pytest.approx(6.0)
    assert view.serial_s == pytest.approx(6.0)
    assert [node.starts_s for node in view.nodes] == [0.0, 2.0, 4.0]
    assert all(node.on_critical_path for node in view.nodes)


async def test_a_node_is_expected_to_take_what_it_took_after_the_same_nodes(state: State) -> None:
    def after(before: str) -> Plan:
        plan = Plan("test", "vm1")
        plan.add(ToyGate(), node="wait", after=[plan.add(ToyEffect(name=before), node=before)])
        return plan

    engine = Engine(state, capacities=CAPACITIES)
    for before, took_s in (("boot", 5.0), ("restore", 0.5), ("boot", 7.0)):
        await engine.run(after(before), lambda _: None)
        newest = state.history.runs(1)[0].id
        state.database.connection.execute(
            "UPDATE node_runs SET started_s = 0, finished_s = ? WHERE run_id = ? AND node = 'wait'", (took_s, newest)
        )
        await engine.release("vm.delete", "vm1", state.journal.of_vm("vm1"), lambda _: None, graceful=False)
    for before, typical_s, last_s in (("boot", 6.0, 7.0), ("restore", 0.5, 0.5)):
        (wait,) = [node for node in preview(state, after(before), CAPACITIES).nodes if node.id == "wait"]
        assert (wait.expected_s, wait.last_s) == (typical_s, last_s)


async def test_a_plan_of_what_never_ran_predicts_nothing(state: State) -> None:
    assert preview(state, chain(), CAPACITIES).predicted_s is None


async def test_the_path_of_a_real_run_makes_it_up(state: State) -> None:
    state = replace(state, clock=_Ticking())
    await run(state, chain())
    view = run_view(state, "last", CAPACITIES)
    path = critical_path(view)
    assert view.run.seconds is not None
    rest = view.run.seconds - max(node.published_s for node in view.nodes)
    assert sum(step.exclusive_s for step in path) == pytest.approx(view.run.seconds - rest)
    assert wall_without(view, None) == pytest.approx(view.run.seconds)
    assert [step.node for step in path][-1] == "ready"
    for node in view.nodes:
        marks = [0.0, node.ready_s, node.claimed_s, node.started_s, node.finished_s, node.published_s]
        assert marks == sorted(marks)


class _Ticking(FakeClock):
    """Each look at it takes a millisecond."""

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now


async def test_a_run_keeps_what_it_shares_with_others_once(state: State) -> None:
    await run(state, chain())
    (before,) = state.database.rows("SELECT count(*) AS n FROM documents")
    for _ in range(5):
        await run(state, chain())
    (after,) = state.database.rows("SELECT count(*) AS n FROM documents")
    assert after["n"] == before["n"]


async def test_old_runs_lose_what_explains_them_and_keep_their_times(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_history, "KEPT_RUNS", 3)
    for number in range(6):
        await run(state, chain(f"name{number}"))
    oldest = state.history.runs(10)[-1]
    assert state.history.graph(oldest.id) == []
    assert state.history.times(oldest.id)
    texts = [state.history.documents([row["digest"]]) for row in state.database.rows("SELECT digest FROM documents")]
    assert not any("name0" in str(text) for text in texts)
    assert any("name5" in str(text) for text in texts)
    with pytest.raises(NotFoundError, match="too old"):
        why_view(state, "first", oldest.id, None)


async def test_the_newest_run_is_the_newest_that_made_something(state: State) -> None:
    await run(state, chain())
    engine = Engine(state, capacities=CAPACITIES)
    await engine.release("vm.delete", "vm1", state.journal.of_vm("vm1"), lambda _: None, graceful=False)
    assert [row.what for row in run_rows(state, 10, None)] == ["vm.delete", "test"]
    assert run_view(state, "last", CAPACITIES).run.what == "test"
    released = run_view(state, state.history.runs(1)[0].id, CAPACITIES)
    assert [node.id for node in released.nodes] == ["release:disk"]


def _done(kind: str, flavour: str, cache: str = "none") -> NodeRun:
    return NodeRun(kind, kind, flavour, cache, "done", 0.0, 0.0, 1.0, None)


def test_cold_warm_and_restored_runs_are_told_apart() -> None:
    boot, restore = _done("vm.boot", "effect"), _done("vm.restore", "effect")
    hit, made = _done("image.rootfs", "build", "hit"), _done("image.rootfs", "build", "miss")
    assert mode_of([hit, boot]) == "warm"
    assert mode_of([made, boot]) == "cold"
    assert mode_of([_done("image.resolve", "query", "miss"), boot]) == "warm"
    assert mode_of([hit, restore]) == "restored"
    assert mode_of([made]) == "other"
    assert mode_of([replace_outcome(boot, "failed")]) == "other"


def replace_outcome(one: NodeRun, outcome: str) -> NodeRun:
    return msgspec.structs.replace(one, outcome=outcome)


def test_every_reason_has_words() -> None:
    assert set(REASONS) == {
        "new", "params", "input", "version", "evicted", "ttl", "forced", "effect", "previous-failed"
    }  # fmt: skip


async def test_a_hit_that_was_looked_up_late_is_on_the_path_behind_what_it_waited_for(state: State) -> None:
    await run(state, chain("x"))
    await Engine(state, capacities=CAPACITIES).run(chain("x"), None, again={"first"})
    view = run_view(state, "last", CAPACITIES)
    bound = {node.id: node.bound_by for node in view.nodes}
    assert (bound["second"], bound["first"], bound["tag"], bound["use"]) == ("first", "tag", None, None)
