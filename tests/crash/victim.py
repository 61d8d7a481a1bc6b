"""Runs a plan of toys in a process of its own, which kills itself at one boundary of the crash protocol.

    python -m tests.crash.victim STATE_DIR ACTION [NODE POINT]

ACTION is create, delete or recover. Without NODE and POINT it prints each boundary that it passes.
"""

import os
import signal
import sys
from pathlib import Path

import anyio

from banger.engine.recovery import recover
from banger.engine.run import Engine
from banger.plan import Plan
from banger.store.state import open_state
from tests.fakes.toys import ToyBuild, ToyEffect, ToyGate, ToySession


def vm_plan() -> Plan:
    plan = Plan("vm.create", "vm1")
    image = plan.add(ToyBuild(name="image"))
    disk = plan.add(ToyEffect(name="disk", content=image), node="disk")
    boot = plan.add(ToySession(name="boot", below=disk), node="boot")
    ready = plan.add(ToyGate(), after=[boot])
    plan.add(ToySession(name="sync", below=boot), node="sync", after=[ready])
    return plan


def main() -> None:
    root, action, *target = sys.argv[1:]

    def checkpoint(node: str, point: str) -> None:
        if not target:
            sys.stdout.write(f"{node} {point}\n")
        elif target == [node, point]:
            os.kill(os.getpid(), signal.SIGKILL)

    state = open_state(Path(root))
    engine = Engine(state, checkpoint=checkpoint)

    async def act() -> None:
        if action == "create":
            await engine.run(vm_plan(), lambda _: None)
        elif action == "delete":
            await engine.release("vm.delete", "vm1", state.journal.of_vm("vm1"), lambda _: None, graceful=False)
        else:
            assert await recover(engine, lambda _: None) == []

    anyio.run(act)
    state.close()


if __name__ == "__main__":
    main()
