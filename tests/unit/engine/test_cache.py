"""The cache and the engine together: collecting beside a run, making what was damaged again, room on a full disk."""

import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from banger.engine import cache, prune
from banger.engine.again import run_well
from banger.engine.prune import LowDisk, make_room, policies_for
from banger.engine.run import Engine
from banger.model.action import Output
from banger.model.cache import CacheFilter, PruneRequest, PruneView
from banger.model.digest import digest_of, digest_of_bytes
from banger.model.errors import ConflictError, NoSpaceError, NotFoundError, SpecError, StoreError
from banger.plan import Plan
from banger.store.collect import Policy
from banger.store.lock import without_guests
from banger.store.objects import SMALL_BYTES
from banger.store.state import State, join_state, open_state
from banger.tasks import Context, Tree, materialize_tree
from tests.fakes.clock import FakeClock
from tests.fakes.toys import LOG, Text, ToyBuild, ToyEffect

pytestmark = pytest.mark.anyio

DAY_S = 86400.0
GIB = 1 << 30


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


def ignore(_event: object) -> None:
    """Nobody follows."""


def plan_of(*names: str, slow_ms: int = 0) -> Plan:
    plan = Plan("toy", "vm1")
    for name in names:
        plan.add(ToyBuild(name=name, seconds_ms=slow_ms), node=name)
    return plan


async def pruned(state: State, **request: object) -> PruneView:
    return await prune.prune(state, PruneRequest(**request), ignore)  # type: ignore[arg-type]


async def test_a_prune_beside_a_run_leaves_what_the_run_uses(state: State) -> None:
    engine = Engine(state)
    await engine.run(plan_of("old", "hit"), ignore)
    plan = plan_of("hit")
    plan.add(ToyBuild(name="new", seconds_ms=300), node="new")
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run, plan, ignore)
        await anyio.sleep(0.1)
        view = await pruned(state, everything=True)
        assert (view.removed, len(view.evictions)) == (1, 1)
    LOG.clear()
    await engine.run(plan, ignore)
    await engine.run(plan_of("hit", "old"), ignore)
    assert LOG == ["build old"]


async def test_while_a_guest_makes_artifacts_nothing_is_collected(state: State) -> None:
    await Engine(state).run(plan_of("one"), ignore)
    guest = join_state(state.root)
    with pytest.raises(ConflictError, match="another process makes artifacts"):
        await pruned(state, everything=True)
    assert (await pruned(state, everything=True, dry_run=True)).removed == 1
    assert await make_room(state, ignore, force=True) is None
    assert len(state.cas.all()) == 1
    guest.close()
    assert (await pruned(state, everything=True)).removed == 1


def test_a_guest_that_comes_during_a_collection_waits_for_its_end(state: State) -> None:
    came: list[State] = []
    guest = threading.Thread(target=lambda: came.append(join_state(state.root)))
    with without_guests(state.root) as alone:
        assert alone
        guest.start()
        guest.join(0.2)
        assert guest.is_alive()
    guest.join(10)
    came[0].close()


async def test_what_was_made_just_now_is_no_orphan_to_a_collection(state: State) -> None:
    artifact = state.cas.put_bytes(b"just made")
    key = digest_of("test", "just made")
    state.recorder.put(key, {"kind": "toy"}, Output(None, (artifact,)), label="", run_id="run", seconds=1.0)
    assert len(state.recorder) == 1, "the clock stands still, so it is not on record yet"
    assert (await pruned(state, older_than_s=DAY_S)).removed == 0
    assert state.actions.get(key) is not None


async def test_of_many_records_the_ones_that_are_damaged_are_misses(state: State) -> None:
    names = [f"n{number}" for number in range(70)]  # so many that the table is read in one go
    await Engine(state).run(plan_of(*names), ignore)
    with state.database.transaction() as connection:
        connection.execute("UPDATE actions SET value = '{' WHERE digest = (SELECT min(digest) FROM actions)")
    damaged = state.cas.place(digest_of_bytes(b"n5"))
    damaged.chmod(0o600)
    damaged.write_bytes(b"damage")
    LOG.clear()
    await Engine(state).run(plan_of(*names), ignore)
    assert "build n5" in LOG
    assert len(LOG) <= 2
    assert None not in [record for _, record in state.actions.examine()]
    assert state.cas.read(digest_of_bytes(b"n5")) == b"n5"


async def test_a_dry_run_says_what_each_eviction_costs_and_removes_nothing(state: State) -> None:
    await Engine(state).run(plan_of("one", "two"), ignore)
    with state.database.transaction() as connection:
        connection.execute("UPDATE actions SET seconds = 20.0")
    view = await pruned(state, everything=True, dry_run=True)
    assert [one.again_s for one in view.evictions] == [20.0, 20.0]
    assert (view.dry_run, view.again_s, view.removed) == (True, 40.0, 2)
    assert len(state.cas.all()) == 2
    done = await pruned(state, everything=True)
    assert (done.removed, done.freed_bytes, done.kept_bytes) == (view.removed, view.freed_bytes, 0)
    assert state.cas.all() == []


async def test_without_options_only_what_is_long_unused_goes(state: State, clock: FakeClock) -> None:
    await Engine(state).run(plan_of("stale"), ignore)
    clock.now += 40 * DAY_S
    await Engine(state).run(plan_of("fresh"), ignore)
    assert (await pruned(state)).removed == 1
    assert (await pruned(state)).removed == 0
    assert (await pruned(state, older_than_s=DAY_S)).removed == 0
    assert (await pruned(state, max_bytes=0)).removed == 1


def test_a_request_that_contradicts_itself_is_refused() -> None:
    assert policies_for(PruneRequest(everything=True)) == [Policy()]
    assert policies_for(PruneRequest(max_bytes=5, older_than_s=1.0)) == [Policy(5, 1.0)]
    with pytest.raises(SpecError):
        policies_for(PruneRequest(everything=True, max_bytes=5))


async def test_an_artifact_under_a_vm_outlives_a_prune_of_everything(state: State) -> None:
    plan = Plan("toy", "vm1")
    plan.add(ToyEffect(name="disk", content=plan.add(ToyBuild(name="image"), node="image")), node="disk")
    plan.add(ToyBuild(name="loose"), node="loose")
    await Engine(state).run(plan, ignore)
    assert (await pruned(state, everything=True)).removed == 1
    (left,) = cache.entries(state)
    assert left.owners == ["vm1"]
    assert cache.entries(state, CacheFilter(owner="none")) == []


async def test_a_damaged_artifact_is_made_again_by_the_command_that_meets_it(state: State) -> None:
    engine = Engine(state)
    await engine.run(plan_of("one"), ignore)
    (digest,) = state.cas.all()
    state.cas.place(digest).chmod(0o600)
    state.cas.place(digest).write_bytes(b"damage")
    LOG.clear()
    await engine.run(plan_of("one"), ignore)
    assert LOG == ["build one"], "a small damaged artifact is a miss in the very run that looks it up"
    assert state.cas.read(digest) == b"one"


class Big(ToyBuild, frozen=True, kw_only=True):
    kind = "toy.build"

    async def build(self, ctx: Context) -> Text:
        LOG.append(f"build {self.name}")
        return Text(ctx.keep_bytes(bytes(2 * SMALL_BYTES)), 2 * SMALL_BYTES)


def big_plan() -> Plan:
    plan = Plan("toy", "vm1")
    plan.add(ToyBuild(name="user", parent=plan.add(Big(name="big"), node="big")), node="user")
    return plan


async def test_a_big_artifact_that_rots_unseen_is_made_again_in_the_same_command(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(state)
    plan = Plan("toy", "vm1")
    plan.add(Big(name="big"), node="big")
    await engine.run(plan, ignore)
    (digest,) = state.cas.all()
    state.cas.place(digest).chmod(0o600)
    with state.cas.place(digest).open("r+b") as file:
        file.seek(SMALL_BYTES)
        file.write(b"rot")
    monkeypatch.setattr("banger.store.stamps.boot_id", lambda: "the next boot")
    LOG.clear()
    told: list[object] = []
    await run_well(engine, big_plan(), told.append)
    assert LOG == ["build big", "build user"]
    notices = [event["text"] for event in told if isinstance(event, dict) and event["event"] == "notice"]
    assert len(notices) == 1
    assert notices[0].endswith("making it again")
    assert list(state.cas.bad.iterdir())


async def test_a_disk_that_is_nearly_full_gets_room_before_anything_is_made(state: State, clock: FakeClock) -> None:
    await Engine(state).run(plan_of("stale"), ignore)
    clock.now += DAY_S
    await Engine(state).run(plan_of("fresh"), ignore)
    low = LowDisk(3 * GIB, 6 * GIB)
    assert await make_room(state, ignore, low=low, free_bytes=lambda: 4 * GIB) is None
    told: list[object] = []
    view = await make_room(state, told.append, low=low, free_bytes=lambda: 2 * GIB)
    assert view is not None
    assert view.removed == 1
    assert len(state.cas.all()) == 1, "what was of use within the hour stays"
    assert "nearly full" in str(told)


async def test_a_write_that_finds_the_disk_full_is_tried_again_after_making_room(
    state: State, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(state)
    await engine.run(plan_of("stale"), ignore)
    clock.now += DAY_S
    real = state.cas.adopt
    calls: list[object] = []

    def adopt(file: Path) -> object:
        calls.append(file)
        if len(calls) == 1:
            raise NoSpaceError("no space left on the device")
        return real(file)

    monkeypatch.setattr(state.cas, "adopt", adopt)
    await run_well(engine, plan_of("new"), ignore)
    assert len(calls) == 2
    calls.clear()
    with pytest.raises(NoSpaceError):  # nothing is left to give back
        await run_well(engine, plan_of("another"), ignore)


async def test_a_pinned_artifact_stays_with_what_was_made_with_it(state: State) -> None:
    await Engine(state).run(plan_of("one", "two"), ignore)
    first = cache.entries(state)[0]
    pinned = cache.pin(state, first.digest[7:19], "for the demo")
    assert (pinned.digest, pinned.owners) == (first.digest, ["pin"])
    assert (await pruned(state, everything=True)).removed == 1
    assert [entry.digest for entry in cache.entries(state, CacheFilter(owner="pin"))] == [first.digest]
    unpinned = cache.unpin(state, first.digest[:20])
    assert unpinned is not None
    assert unpinned.owners == []
    with pytest.raises(NotFoundError, match="no pinned artifact"):
        cache.unpin(state, first.digest)
    with pytest.raises(NotFoundError):
        cache.pin(state, "00" * 32, "")


async def test_the_list_is_filtered_and_the_usage_adds_up(state: State, clock: FakeClock) -> None:
    await Engine(state).run(plan_of("one", "two"), ignore)
    clock.now += 10
    state.cas.put_bytes(b"x" * 50_000)
    assert len(cache.entries(state)) == 3
    assert len(cache.entries(state, CacheFilter(kind="toy.*"))) == 2
    assert len(cache.entries(state, CacheFilter(kind="toy.build", older_than_s=5))) == 2
    assert len(cache.entries(state, CacheFilter(kind="toy.build", older_than_s=50))) == 0
    assert [one.kind for one in cache.entries(state, CacheFilter(larger_than_bytes=1000))] == ["unknown"]
    usage = cache.usage(state)
    assert usage.disk_bytes == sum(kind.disk_bytes for kind in usage.kinds) == usage.reclaimable_bytes
    assert {kind.kind: kind.count for kind in usage.kinds} == {"toy.build": 2, "unknown": 1}


async def test_what_a_query_answered_with_is_no_orphan_and_goes_when_it_is_old(state: State, clock: FakeClock) -> None:
    digest = state.cas.put_bytes(b"a program")
    state.answers.put(digest_of("test", "question"), {"init": {"digest": digest, "size": 9}})
    assert [entry.kind for entry in cache.entries(state)] == ["answer"]
    assert (await pruned(state)).removed == 0
    clock.now += 40 * DAY_S
    assert (await pruned(state)).removed == 1


async def test_a_verification_beside_a_run_sees_all_and_disturbs_nothing(state: State) -> None:
    engine = Engine(state)
    await engine.run(plan_of("one"), ignore)
    told: list[object] = []
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run, plan_of("one", "two", slow_ms=50), ignore)
        seen = await cache.verify(state, told.append, repair=True)
        assert seen.exit_status == 0
        assert seen.objects >= 1
    assert [event["state"] for event in told if isinstance(event, dict) and event["event"] == "node"] == [
        "running",
        "done",
    ]


async def test_a_tree_appears_whole_or_not_at_all(state: State, tmp_path: Path) -> None:
    ctx = Context(state, tmp_path, "run", {})
    tree = ctx.keep_tree({"a": ctx.keep_bytes(b"1"), "deep/er/b": ctx.keep_bytes(b"2")})
    ctx.materialize_tree(tree, tmp_path / "out", writable=True)
    assert (tmp_path / "out" / "deep" / "er" / "b").read_bytes() == b"2"
    for name in ("../up", "/etc/x", "a//b", "a/../b", ".", ""):
        bad = ctx.keep_tree({name: ctx.keep_bytes(b"1")})
        with pytest.raises(StoreError, match="leads elsewhere"):
            materialize_tree(state, bad, tmp_path / "bad", writable=True)
    gone = Tree(tree.listing)
    state.cas.remove(ctx.tree(tree)["deep/er/b"].digest)
    with pytest.raises(StoreError):
        ctx.materialize_tree(gone, tmp_path / "half", writable=True)
    assert not (tmp_path / "half").exists()
