"""The parts of the worker that judge what a stranger sends, and that remember, are run through every branch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JUDGES = {"wire", "session", "validation", "journal"}


@pytest.mark.requirement("SEC-001")
def test_every_branch_of_wire_session_validation_and_journal_is_taken(tmp_path: Path) -> None:
    data, report = tmp_path / "data", tmp_path / "report.json"
    include = ",".join(str(ROOT / "banger" / "worker" / f"{name}.py") for name in sorted(JUDGES))
    tests = [f"tests/unit/worker/test_{name}.py" for name in sorted(JUDGES)]
    run = [sys.executable, "-m", "coverage", "run", "--rcfile=/dev/null", "--branch", f"--include={include}"]
    run += [f"--data-file={data}", "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(run, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    words = [sys.executable, "-m", "coverage", "json", "-q", f"--data-file={data}", "-o", str(report)]
    subprocess.run(words, cwd=ROOT, check=True, timeout=60)
    files = json.loads(report.read_text())["files"]
    assert {Path(name).stem for name in files} == JUDGES
    missing = {name: (one["missing_lines"], one["missing_branches"]) for name, one in files.items()}
    assert missing == {name: ([], []) for name in files}
