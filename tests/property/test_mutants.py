"""The tests can fail: each named fault, put into a copy of the source, is found by the test that is said to find it."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCHEDULER, ENGINE = "tests/property/test_scheduler.py", "tests/property/test_engine.py"
DECISIONS, FLIGHTS = "tests/unit/graph/test_scheduler.py", "tests/unit/engine/test_flights.py"
KILLS, PROCESSES = "tests/crash/test_engine_crash.py", "tests/crash/test_processes.py"


@dataclass(frozen=True)
class Mutant:
    """One fault: what it is, where, and which test finds it."""

    fault: str
    module: str
    was: str
    becomes: str
    found_by: str
    quick: bool = False


MUTANTS = (
    Mutant(
        "a pool has no limit",
        "graph/pools.py",
        "if self.free[pool] < amount:",
        "if amount < 0:",
        SCHEDULER,
        quick=True,
    ),
    Mutant("a starved claim is not saved for", "graph/pools.py", "line.passed_over >= PATIENCE]", "False]", DECISIONS),
    Mutant("the longest path does not go first", "graph/pools.py", "(-priority, node)", "(0.0, node)", DECISIONS),
    Mutant(
        "what stands on a skipped node is not skipped",
        "graph/scheduler.py",
        "self._spoiled_by.setdefault(after, number)",
        "state is State.FAILED and self._spoiled_by.setdefault(after, number)",
        SCHEDULER,
    ),
    Mutant(
        "a joined Build gives its claim back twice",
        "graph/scheduler.py",
        "self._joined.add(number)",
        "pass",
        SCHEDULER,
    ),
    Mutant(
        "retries have no end",
        "graph/scheduler.py",
        "self._attempt[number] > self._nodes[number].action.retries",
        "self._attempt[number] > 10**9",
        SCHEDULER,
    ),
    Mutant(
        "a failed run does not undo what it kept",
        "graph/scheduler.py",
        "for number in self._kept:\n                self._ready(number)",
        "for number in self._kept:\n                self._end(number, State.SKIPPED)",
        SCHEDULER,
    ),
    Mutant(
        "after a failure, everything else still starts",
        "graph/scheduler.py",
        "if state is State.FAILED and (self._spared or not self._keep_going):",
        "if state is State.FAILED and self._spared:",
        DECISIONS,
    ),
    Mutant(
        "an effect that was there already is undone",
        "graph/scheduler.py",
        "self._adopted.add(number)",
        "pass",
        SCHEDULER,
    ),
    Mutant(
        "a digest does not cover the inputs",
        "graph/identity.py",
        "inputs[name] = output.digest",
        'inputs[name] = Digest("sha256:" + "0" * 64)',
        ENGINE,
    ),
    Mutant(
        "a release does not wait for the releases of users",
        "graph/build.py",
        "*sorted(behind)",
        "",
        SCHEDULER,
    ),
    Mutant(
        "the journal is written after the host is changed",
        "engine/perform.py",
        'journal.intend(self._lease(node, task, digest))\n            self._checkpoint(node.id, "intended")\n'
        '            value = await task.apply(ctx)\n            self._checkpoint(node.id, "applied")\n',
        'self._checkpoint(node.id, "intended")\n            value = await task.apply(ctx)\n'
        '            self._checkpoint(node.id, "applied")\n'
        "            journal.intend(self._lease(node, task, digest))\n",
        f"{KILLS}::test_a_create_killed_anywhere_leaves_nothing_after_recovery[disk-applied]",
    ),
    Mutant(
        "a run that has succeeded does not hand its leases over",
        "engine/run.py",
        "if conclusion is not None and conclusion.keep:",
        "if conclusion is None:",
        "tests/unit/engine/test_engine.py",
    ),
    Mutant(
        "nothing is recorded",
        "store/recorder.py",
        "self._actions.put_rows(self._rows.values())",
        "pass",
        ENGINE,
    ),
    Mutant(
        "the last to leave leaves the work running",
        "engine/flights.py",
        "            flight.scope.cancel()",
        "            pass",
        FLIGHTS,
    ),
    Mutant(
        "a Build that waits holds up those behind it",
        "engine/flights.py",
        "        self._relieving = False\n        self._call_crew()",
        "        self._relieving = False",
        FLIGHTS,
    ),
    Mutant(
        "a row of Builds keeps the event loop to itself",
        "engine/flights.py",
        "await asyncio.sleep(0)",
        "pass",
        FLIGHTS,
    ),
    Mutant(
        "all claims are given back with some",
        "store/claims.py",
        "for held in (*sorted(self._held), _OFFSETS):",
        "for held in (_OFFSETS,):",
        "tests/unit/store/test_recorder.py",
    ),
    Mutant(
        "the first to leave calls the work off",
        "engine/flights.py",
        "elif len(flight.passengers) > 1 and",
        "elif len(flight.passengers) > 99 and",
        FLIGHTS,
    ),
    Mutant(
        "every claim is granted",
        "store/claims.py",
        "        except BlockingIOError:\n            return False",
        "        except BlockingIOError:\n            return True",
        PROCESSES,
    ),
    Mutant(
        "a claim is given back before the record is durable",
        "engine/perform.py",
        "if digest not in recorder:",
        "if digest:",
        PROCESSES,
    ),
    Mutant(
        "records are flushed inside a transaction",
        "engine/run.py",
        '        state.recorder.flush()\n        with state.database.transaction("run"):\n',
        '        with state.database.transaction("run"):\n            state.recorder.flush()\n',
        "tests/unit/engine/test_engine.py",
    ),
    Mutant(
        "what another process made is not looked for",
        "engine/remembered.py",
        "return self._state.recorder.get(digest) if self._news() else self._own.get(digest)",
        "return self._own.get(digest)",
        PROCESSES,
    ),
    Mutant(
        "a record of lost artifacts is believed",
        "store/actions.py",
        "if output.artifacts and not all([self._cas.has(artifact) for artifact in output.artifacts]):",
        "if False:",
        "tests/unit/store/test_recorder.py",
        quick=True,
    ),
)


def find(mutant: Mutant, place: Path) -> None:
    for name in ("banger", "tests", "build"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    module = place / "banger" / mutant.module
    source = module.read_text()
    assert source.count(mutant.was) == 1, f"the source no longer says {mutant.was!r} once"
    module.write_text(source.replace(mutant.was, mutant.becomes))
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", mutant.found_by]
    done = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 1, f"{mutant.found_by} does not find that {mutant.fault}:\n{done.stdout[-2000:]}"


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.quick], ids=lambda one: one.fault)
def test_a_fault_is_found(mutant: Mutant, tmp_path: Path) -> None:
    find(mutant, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", [one for one in MUTANTS if not one.quick], ids=lambda one: one.fault)
def test_every_other_fault_is_found(mutant: Mutant, tmp_path: Path) -> None:
    find(mutant, tmp_path)
