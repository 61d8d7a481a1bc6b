"""What the engine's page says, and what a run that does nothing must not import."""

import re
import subprocess
import sys
from pathlib import Path

from banger.engine.run import default_capacities
from banger.graph.states import MEANINGS, MOVES, State, diagram

ROOT = Path(__file__).parents[2]
HEAVY = {"anyio", "asyncio", "asyncssh", "diskcache", "fastapi", "networkx", "pydantic", "rich", "typer", "uvicorn"}


def test_the_diagram_is_drawn_from_the_table() -> None:
    page = (ROOT / "docs" / "engine.md").read_text()
    assert f"```mermaid\n{diagram()}```\n" in page, "run scripts/draw_states.py"


def test_every_state_is_explained_and_can_be_reached_and_left_or_is_an_end() -> None:
    assert set(MEANINGS) == set(MOVES) == set(State)
    reached = {after for moves in MOVES.values() for after in moves}
    assert reached | {State.WAITING} == set(State)


def test_every_pool_that_a_task_claims_has_a_capacity() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "banger" / "tasks").glob("*.py"))
    pools = {name for claim in re.findall(r"pools=\((.*?)\)\)", sources) for name in re.findall(r'"(\w+)", \d', claim)}
    assert pools
    assert pools <= set(default_capacities())


def test_a_run_that_has_nothing_to_do_starts_no_event_loop_and_imports_none(tmp_path: Path) -> None:
    words = ["bench", "graph", "--nodes", "100", "--state-dir", str(tmp_path), "--json"]
    argv = [sys.executable, "-X", "importtime", "-m", "banger.cli.main", *words]
    cold, null = (subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True) for _ in "12")
    assert [re.findall(r'"ran": (\d+)', done.stdout) for done in (cold, null)] == [["100"], ["0"]]
    lines = [line for line in null.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert imported & HEAVY == set()


def test_one_changed_input_of_a_thousand_is_one_build(tmp_path: Path) -> None:
    def run(*words: str) -> tuple[str, str]:
        argv = [
            sys.executable,
            "-m",
            "banger.cli.main",
            "bench",
            "graph",
            "--nodes",
            "1000",
            "--state-dir",
            str(tmp_path),
        ]
        done = subprocess.run([*argv, *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        cells = done.stdout.splitlines()[1].split()
        return cells[1], cells[2]

    assert run() == ("1000", "0")
    assert run("--change", "1") == ("1", "999")
    assert run() == ("0", "1000")
