"""Random graphs through the whole engine, with inputs that change, Builds that fail, runs that are cancelled, and
processes that die anywhere; after each of these, what is there must be what a reference evaluator of ten lines says.

After `src/Test/Random.hs` of Shake: what matters is that no history of breakage can make a later run wrong.
"""

import os
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.engine.run import Engine
from banger.model.action import Needs
from banger.model.errors import HostError
from banger.plan import Plan
from banger.store.state import join_state
from banger.tasks import Build, Context, Ref

MODULUS = 3  # small, so that a changed input often gives an unchanged output
CRASHED = 77
CHECKPOINTS = ("started", "made", "recorded", "concluded", "handed-over")


class RandomBuild(Build[int], frozen=True, kw_only=True):
    kind = "random.build"
    version = 1
    retries = 1
    number: int
    source: int
    before: tuple[Ref[int], ...] = ()

    async def build(self, ctx: Context) -> int:
        for _ in range(self.number % 3):
            await anyio.lowlevel.checkpoint()
        name = f"{self.number} {self.source} {[ctx.value(ref) for ref in self.before]}"
        _log(ctx.state.root, name)
        if (ctx.state.root / f"fail-{self.number}").exists():
            raise HostError(f"{self.number} fails")
        return value_of(self.number, self.source, [ctx.value(ref) for ref in self.before])


class CpuBuild(RandomBuild, frozen=True, kw_only=True):
    kind = "random.cpu"
    needs = Needs(pools=(("cpu", 1),))


for _kind in (RandomBuild, CpuBuild):
    _module = ModuleType(f"banger.tasks.{_kind.kind.replace('.', '_')}")
    _module.__dict__["task"] = _kind
    sys.modules[_module.__name__] = _module


def _log(root: Path, line: str) -> None:
    fd = os.open(root / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)


def value_of(number: int, source: int, before: list[int]) -> int:
    return (number + source + sum(before)) % MODULUS


@dataclass
class Shape:
    """A graph: for each node its kind, and the nodes before it. `sources` is the world that they read."""

    kinds: list[type[RandomBuild]]
    before: list[list[int]]
    sources: list[int]
    failing: set[int] = field(default_factory=set)

    @classmethod
    def at_random(cls, rng: random.Random) -> "Shape":
        count = rng.randint(1, 10)
        before = [rng.sample(range(number), rng.randint(0, min(number, 3))) for number in range(count)]
        return cls([rng.choice((RandomBuild, CpuBuild)) for _ in range(count)], before, [0] * count)

    def plan(self) -> Plan:
        plan = Plan("random")
        refs: list[Ref[int]] = []
        for number, kind in enumerate(self.kinds):
            before = tuple(refs[one] for one in self.before[number])
            task = kind(number=number, source=self.sources[number], before=before)
            refs.append(plan.add(task, node=f"n{number}"))
        return plan

    def reference(self) -> list[int]:
        values: list[int] = []
        for number, source in enumerate(self.sources):
            values.append(value_of(number, source, [values[one] for one in self.before[number]]))
        return values

    def broken(self) -> set[int]:
        """Nodes that fail, or stand on one that does."""
        found: set[int] = set()
        for number, before in enumerate(self.before):
            if number in self.failing or found & set(before):
                found.add(number)
        return found


@dataclass
class History:
    """One state directory and all that has happened to it."""

    root: Path
    rng: random.Random
    shape: Shape

    def logged(self) -> Counter[str]:
        log = self.root / "log"
        return Counter(log.read_text().splitlines()) if log.exists() else Counter()

    def change(self) -> None:
        rng, shape = self.rng, self.shape
        for number in range(len(shape.sources)):
            if rng.random() < 0.3:
                shape.sources[number] = rng.randint(0, 3)
            failing = rng.random() < 0.1
            (shape.failing.add if failing else shape.failing.discard)(number)
            mark = self.root / f"fail-{number}"
            if failing:
                mark.touch()
            else:
                mark.unlink(missing_ok=True)

    def run(self, *, keep_going: bool = False, cancel_after: int | None = None, runs: int = 1) -> list[int] | None:
        """The values; None if the run failed or was cancelled."""
        state = join_state(self.root)
        engine = Engine(state, capacities={"cpu": 2})
        results: list[list[int] | None] = []

        async def one(scope: anyio.CancelScope) -> None:
            begun = 0

            def tell(event: object) -> None:
                nonlocal begun
                begun += isinstance(event, dict) and event.get("state") == "running"
                if cancel_after is not None and begun > cancel_after:
                    scope.cancel()

            result = None
            with scope:
                try:
                    values = await engine.run(self.shape.plan(), tell, keep_going=keep_going)
                    result = [values[f"n{number}"] for number in range(len(self.shape.sources))]
                except HostError:
                    assert self.shape.failing
            results.append(result)

        async def all_of_them() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(runs):
                    group.start_soon(one, anyio.CancelScope())

        try:
            anyio.run(all_of_them)
            assert engine.sharing.pools.free == engine.sharing.pools.capacities
            assert list(state.scratch.root.iterdir()) == []
        finally:
            state.close()
        assert all(result == results[0] for result in results)
        return results[0]

    def crash(self) -> None:
        """Run in a process that dies at a random checkpoint, without a word."""
        left = self.rng.randint(1, 3 * len(self.shape.sources))
        pid = os.fork()
        if pid == 0:
            try:
                self._run_to_death(left)
            finally:
                os._exit(CRASHED)
        os.waitpid(pid, 0)

    def _run_to_death(self, left: int) -> None:
        def checkpoint(_node: str, _point: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(CRASHED)

        engine = Engine(join_state(self.root), capacities={"cpu": 2}, checkpoint=checkpoint)
        engine.run_blocking(self.shape.plan(), None)

    def check_whole(self) -> None:
        """A run in a sound world gives what the reference says, and makes nothing twice that is on record."""
        self.shape.failing.clear()
        for mark in self.root.glob("fail-*"):
            mark.unlink()
        assert self.run() == self.shape.reference()
        before = self.logged()
        assert self.run() == self.shape.reference()
        assert self.logged() == before, "a run that had nothing to do did something"


def live(seed: int, root: Path) -> None:
    rng = random.Random(seed)
    history = History(root, rng, Shape.at_random(rng))
    for _ in range(rng.randint(1, 4)):
        history.change()
        before = history.logged()
        match rng.choice(("run", "keep going", "cancel", "crash", "together")):
            case "run":
                result = history.run()
                assert (result is None) == bool(history.shape.failing & reachable(history, before))
            case "keep going":
                history.run(keep_going=True)
                check_what_ran(history, before)
            case "together":
                history.run(runs=3)
                ran = history.logged() - before
                sound = [count for line, count in ran.items() if int(line.split()[0]) not in history.shape.failing]
                assert max(sound, default=1) == 1, "made twice by runs at one time"
            case "cancel":
                history.run(cancel_after=rng.randint(0, 4))
            case "crash":
                history.crash()
    history.check_whole()


def reachable(history: History, before: Counter[str]) -> set[int]:
    """The failing nodes that were not remembered, and so ran."""
    ran = {int(line.split()[0]) for line in history.logged() - before}
    return history.shape.failing & ran


def check_what_ran(history: History, before: Counter[str]) -> None:
    """With keep-going, everything that does not stand on a failure is on record now."""
    shape = history.shape
    values = shape.reference()
    known = set(history.logged())
    for number, source in enumerate(shape.sources):
        if number not in shape.broken():
            inputs = [values[one] for one in shape.before[number]]
            assert f"{number} {source} {inputs}" in known, f"n{number} never ran"
    assert max((history.logged() - before).values(), default=1) == 1


def examine(seed: int) -> None:
    with tempfile.TemporaryDirectory(prefix="banger-") as directory:
        live(seed, Path(directory))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_whatever_has_happened_a_run_gives_what_the_reference_says(seed: int) -> None:
    examine(seed)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=3000, deadline=None)
def test_the_same_three_thousand_times(seed: int) -> None:
    examine(seed)
