"""The real agent on this machine, under AddressSanitizer and UBSan: it runs programs here and changes nothing else."""

import os
import socket
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "banger/guest/src"
LISTENING = 2


def build_checked_agent(out: Path) -> Path:
    """Compile the agent with the compiler's checks; its system calls beyond files and programs are replaced."""
    subprocess.run(["make", "-s", "-C", SOURCES, f"OUT={out}", "agent-checked"], check=True, capture_output=True)
    return out / "guest/banger-agent-checked"


def make_root(root: Path) -> None:
    """Make the directories that the agent writes to."""
    for directory in ("etc", "root", "run/banger"):
        (root / directory).mkdir(parents=True)


def spawn_agent(program: Path, root: Path, ssh: int) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start an agent; return our end of its port, and its process."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [program, str(theirs.fileno()), root, str(ssh)],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            env={**os.environ, "ASAN_OPTIONS": "abort_on_error=0:exitcode=99"},
        )
    return ours, process
