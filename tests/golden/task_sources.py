"""What the code of every kind of task says, as a digest: comments, docstrings and layout do not count.

    python -m tests.golden.task_sources                          compare with task_sources.json
    python -m tests.golden.task_sources --update                 take over what is new, or has a new version
    python -m tests.golden.task_sources --waive KIND REASON      the change does not change what the code means

A kind whose code has changed needs a new `version`, or somebody who says why not: otherwise what an earlier code has
made would be taken for what this one makes.
"""

import ast
import hashlib
import json
import sys
from pathlib import Path

from banger.tasks import Task, find_task

TASKS = Path(__file__).parents[2] / "banger" / "tasks"
LOCK = Path(__file__).with_name("task_sources.json")

Entry = dict[str, str | int]


def kinds() -> dict[str, type[Task[object]]]:
    """Every kind that banger has, by name."""
    names = sorted(path.stem for path in TASKS.glob("*.py") if path.stem != "__init__")
    return {task.kind: task for name in names for task in [find_task(name.replace("_", ".", 1))]}


def meaning(source: str) -> str:
    """Digest of what Python makes of it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.Module | ast.ClassDef):  # docstrings of constants and fields
            node.body = [one for one in node.body if not _is_text(one)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def current() -> dict[str, Entry]:
    """What is there now."""
    return {
        kind: {"version": task.version, "source": meaning((TASKS / f"{kind.replace('.', '_')}.py").read_text())}
        for kind, task in kinds().items()
    }


def problems(locked: dict[str, Entry], now: dict[str, Entry]) -> list[str]:
    """A line for each kind that needs somebody's attention."""
    found = []
    for kind, entry in now.items():
        before = locked.get(kind)
        if before is None:
            found.append(f"{kind} is new: --update")
        elif entry["version"] != before["version"]:
            found.append(f"{kind} has version {entry['version']} now: --update")
        elif entry["source"] != before["source"]:
            found.append(f"the code of {kind} has changed: raise its version, then --update; or --waive {kind} REASON")
    return [*found, *(f"{kind} is gone: --update" for kind in locked if kind not in now)]


def update(locked: dict[str, Entry], now: dict[str, Entry], waived: dict[str, str]) -> dict[str, Entry]:
    """The lock as it should be; a change that nobody answers for stays a problem."""
    updated = {}
    for kind, entry in now.items():
        before = locked.get(kind)
        if kind in waived:
            updated[kind] = entry | {"waived": waived[kind]}
        elif before is None or entry["version"] != before["version"] or entry["source"] == before["source"]:
            updated[kind] = before if before and entry.items() <= before.items() else entry
        else:
            updated[kind] = before
    return updated


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    locked, now = json.loads(LOCK.read_text()) if LOCK.exists() else {}, current()
    waived = {arguments[1]: arguments[2]} if arguments[:1] == ["--waive"] else {}
    if waived or arguments == ["--update"]:
        locked = update(locked, now, waived)
        LOCK.write_text(json.dumps(locked, indent=2, sort_keys=True) + "\n")
    found = problems(locked, now)
    sys.stdout.writelines(f"{line}\n" for line in found)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
