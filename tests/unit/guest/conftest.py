"""The agent, compiled with the compiler's checks, on one end of a socket pair."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "banger/guest/src"
StartAgent = Callable[..., tuple[socket.socket, "subprocess.Popen[bytes]", Path]]


@pytest.fixture(scope="session")
def checked_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the agent with AddressSanitizer and UBSan; its system calls beyond files are replaced."""
    out = tmp_path_factory.mktemp("agent")
    subprocess.run(["make", "-s", "-C", SOURCES, f"OUT={out}", "agent-checked"], check=True, capture_output=True)
    return out / "guest/banger-agent-checked"


@pytest.fixture
def start_agent(checked_agent: Path, tmp_path: Path) -> Iterator[StartAgent]:
    """Return a function that starts an agent and returns our end of its port, its process and its root directory."""
    started: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []

    def start(*, ssh: int = 0) -> tuple[socket.socket, "subprocess.Popen[bytes]", Path]:
        root = tmp_path / f"root{len(started)}"
        for directory in ("etc", "root", "run/banger"):
            (root / directory).mkdir(parents=True)
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "ASAN_OPTIONS": "abort_on_error=0:exitcode=99"}
        process = subprocess.Popen(
            [checked_agent, str(theirs.fileno()), root, str(ssh)],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            env=environment,
        )
        theirs.close()
        started.append((ours, process))
        return ours, process, root

    yield start
    for ours, process in started:
        ours.close()
        crashed = process.poll()
        process.kill()
        _, said = process.communicate()
        assert crashed is None, said.decode(errors="replace")
