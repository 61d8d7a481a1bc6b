"""What holds for the code that runs as root: little of it, few imports, and no way to run or to parse anything else."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "banger" / "worker").glob("*.py"))
MOST_LINES = 1500
MAY_IMPORT = {
    *(
        "binascii",
        "collections",
        "contextlib",
        "ctypes",
        "dataclasses",
        "enum",
        "errno",
        "fcntl",
        "functools",
        "hashlib",
    ),
    *("ipaddress", "msgspec", "os", "pathlib", "re", "resource", "selectors", "signal", "socket", "stat", "struct"),
    *("sys", "time", "typing"),
}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "system", "popen", "fork", "execv", "execve", "execvp", "spawnv"),
    *("posix_spawn", "rmtree", "recvmsg", "recv_fds", "import_module", "symlink", "mount"),
}


def imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.requirement("SEC-001")
def test_the_worker_is_small() -> None:
    """Lines that have something on them; what explains the code is part of what must be read."""
    assert sum(bool(line.strip()) for path in MODULES for line in path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
@pytest.mark.requirement("DMN-008")
def test_it_imports_little_and_nothing_else_of_banger(path: Path) -> None:
    names = imports(ast.parse(path.read_text()))
    own = {"banger.worker"} | {f"banger.worker.{one.stem}" for one in MODULES}
    assert {name for name in names if name.startswith("banger")} <= own
    assert {name.split(".")[0] for name in names} - {"banger"} <= MAY_IMPORT
    assert MAY_IMPORT - {"msgspec"} <= sys.stdlib_module_names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_it_runs_no_program_and_follows_no_name_of_another_s(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert name not in FORBIDDEN_CALLS, f"{path.name}:{node.lineno}"


def test_only_the_worker_opens_netlink_and_the_tap_device() -> None:
    for path in (ROOT / "banger").rglob("*.py"):
        if path not in MODULES:
            text = path.read_text()
            assert "AF_NETLINK" not in text, path
            assert "libnftables" not in text, path
