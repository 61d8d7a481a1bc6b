"""The linters and type checkers are tests, so that nothing lands that they would refuse."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "words",
    [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"], ["pyright"]],
    ids=" ".join,
)
def test_a_linter_finds_nothing(words: list[str]) -> None:
    argv = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
