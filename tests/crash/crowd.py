"""Runs the same plan many times at once in a process of its own, as a guest of a state directory.

    python -m tests.crash.crowd STATE_DIR RUNS SECONDS_MS

Every Build adds a line to the file `builds` when it begins. Prints a line for each node that waits.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio

from banger.engine.run import Engine
from banger.model.action import Needs
from banger.plan import Plan
from banger.store.state import join_state
from banger.tasks import Build, Context, Ref

BUILDS = 6


class CrowdBuild(Build[int], frozen=True, kw_only=True):
    kind = "crowd.build"
    version = 1
    needs = Needs(pools=(("cpu", 1),))
    number: int
    before: tuple[Ref[int], ...] = ()

    async def build(self, ctx: Context) -> int:
        with (ctx.state.root / "builds").open("a") as log:
            log.write(f"{self.number}\n")
        (ctx.scratch / "half").write_text("half")
        await anyio.sleep(int(sys.argv[3]) / 1000)
        return self.number


_module = ModuleType("banger.tasks.crowd_build")
_module.__dict__["task"] = CrowdBuild
sys.modules[_module.__name__] = _module


def crowd_plan() -> Plan:
    plan = Plan("crowd")
    above: tuple[Ref[int], ...] = ()
    for number in range(BUILDS):
        ref = plan.add(CrowdBuild(number=number, before=above), node=f"n{number}")
        if number % 2:
            above = (ref,)
    return plan


def tell(event: Mapping[str, Any]) -> None:
    if event["event"] == "node" and event["state"] == "waiting":
        print(event["id"], event["detail"], flush=True)  # noqa: T201


async def crowd(engine: Engine, runs: int) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(runs):
            group.start_soon(engine.run, crowd_plan(), tell)


if __name__ == "__main__":
    state = join_state(Path(sys.argv[1]))
    anyio.run(crowd, Engine(state), int(sys.argv[2]))
    state.close()
