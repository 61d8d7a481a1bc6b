"""The agent, compiled with the compiler's checks, on one end of a socket pair."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.agent import build_checked_agent, make_root, spawn_agent

StartAgent = Callable[..., tuple[socket.socket, "subprocess.Popen[bytes]", Path]]


@pytest.fixture(scope="session")
def checked_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the agent with AddressSanitizer and UBSan; its system calls beyond files are replaced."""
    return build_checked_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture
def start_agent(checked_agent: Path, tmp_path: Path) -> Iterator[StartAgent]:
    """Return a function that starts an agent and returns our end of its port, its process and its root directory."""
    started: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []

    def start(*, ssh: int = 0) -> tuple[socket.socket, "subprocess.Popen[bytes]", Path]:
        root = tmp_path / f"root{len(started)}"
        make_root(root)
        ours, process = spawn_agent(checked_agent, root, ssh)
        started.append((ours, process))
        return ours, process, root

    yield start
    for ours, process in started:
        ours.close()
        crashed = process.poll()
        process.kill()
        _, said = process.communicate()
        assert crashed is None, said.decode(errors="replace")
