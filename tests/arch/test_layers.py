"""What holds for the whole tree and no linter of ours can say."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "banger").rglob("*.py"))
LONGEST_LINES = 400


@pytest.mark.requirement("DMN-014")
def test_the_import_contracts_hold() -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_for_and_fits_a_sitting(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)) or (path.name == "__init__.py" and not text.strip())
    assert len(text.splitlines()) <= LONGEST_LINES


def test_every_kind_is_found_by_its_name() -> None:
    from banger.tasks import Task, find_task, output_type

    names = [path.stem for path in (ROOT / "banger" / "tasks").glob("*.py") if path.stem != "__init__"]
    for name in names:
        task = find_task(name.replace("_", ".", 1))
        assert issubclass(task, Task)
        assert task.version >= 1
        assert output_type(task) is not None


def test_no_registry_or_archive_is_named_in_the_code() -> None:
    hosts = ("deb.debian" + ".org", "pypi" + ".org", "registry.npmjs", "pythonhosted")
    for path in [*MODULES, *(ROOT / "scripts").iterdir(), *(ROOT / "docs").rglob("*.md")]:
        text = path.read_text()
        assert not [host for host in hosts if host in text], path
