"""Rows of docs/requirements.md, and the tests that say they show one."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _report(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(ROOT / "scripts" / "requirements_report.py"), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_no_marker_names_a_row_that_is_not_there() -> None:
    done = _report()
    assert done.returncode == 0, done.stderr


def test_the_report_tells_rows_without_a_test_from_those_with_one() -> None:
    missing = _report("--group", "TST").stdout.splitlines()
    everything = _report("--group", "TST", "--all").stdout.splitlines()
    assert {line[:3] for line in everything} == {"TST"}
    shown = [line for line in everything if "  shown by tests/" in line]
    assert [line for line in everything if line not in shown] == missing
