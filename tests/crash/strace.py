"""Run a workload under strace(1): to see its system calls, to kill it at one, or to have one fail."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANGING = (
    "write,pwrite64,pwritev,writev,ftruncate,fallocate,copy_file_range,fsync,fdatasync,mkdir,mkdirat,rmdir,"
    "link,linkat,unlink,unlinkat,rename,renameat,renameat2,chmod,fchmod"
)
"""System calls that change a file system: between two of them, what is on it stays the same."""
_LINE = re.compile(r"\d+ +(\w+)\((.*)\) += (-?\d+|\?)")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call as strace prints it; `ordinal`: its number among those of its name, from 1."""

    name: str
    arguments: str
    result: int
    ordinal: int


def strace(log: Path, argv: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module of the tests under strace."""
    words = ["strace", "-f", "-o", str(log), *options]  # with --seccomp-bpf, 6.1 injects nothing
    return subprocess.run(
        [*words, sys.executable, "-m", *argv],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def calls(log: Path) -> list[Call]:
    """Every completed call in a log, in order."""
    seen: dict[str, int] = {}
    found = []
    with log.open() as lines:
        for line in lines:
            match = _LINE.match(line)
            if match:
                name = match[1]
                seen[name] = seen.get(name, 0) + 1
                found.append(Call(name, match[2], int(match[3]) if match[3] != "?" else -1, seen[name]))
    return found


def after_begin(found: list[Call]) -> list[Call]:
    """The calls of the workload itself, without the start of Python before it; acknowledgements left out."""
    start = next(index for index, call in enumerate(found) if call.name == "write" and '"begin ' in call.arguments)
    return [call for call in found[start + 1 :] if not (call.name == "write" and call.arguments.startswith("1,"))]
