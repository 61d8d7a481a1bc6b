"""What the command line must not import: the price of every single command."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.agent import build_checked_agent
from tests.fakes.installation import ROOT, Installation, installed

HEAVY = {
    "anyio",
    "asyncio",
    "email",
    "fastapi",
    "http",
    "msgspec",
    "pydantic",
    "rich",
    "subprocess",
    "typer",
    "uvicorn",
}


def _imported(banger: Installation, *words: str) -> set[str]:
    argv = [sys.executable, "-X", "importtime", "-m", "banger.cli.main", *words]
    done = subprocess.run(argv, env=banger.env, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize(
    "words", [["vm", "list"], ["vm", "list", "--json"], ["vm", "--help"], ["plan", "vm", "create", "--help"]]
)
def test_everyday_commands_import_nothing_heavy(shared: Installation, words: list[str]) -> None:
    shared.ok("vm", "list")
    assert {name.partition(".")[0] for name in _imported(shared, *words)} & HEAVY == set()


def test_version_imports_nothing_at_all(shared: Installation) -> None:
    ours = {name for name in _imported(shared, "--version") if name.startswith(("banger.", "click", "json", "socket"))}
    assert ours <= {"banger.cli", "banger.cli.main"}


def test_a_command_in_a_vm_imports_nothing_heavy(tmp_path: Path) -> None:
    with installed(tmp_path) as banger:
        banger.env["FAKE_AGENT"] = str(build_checked_agent(tmp_path / "agent"))
        banger.ok("vm", "create", "--name", "box")
        imported = _imported(banger, "vm", "exec", "box", "--", "true")
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()
