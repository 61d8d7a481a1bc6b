"""`banger worker`, as it is typed."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.fakes.netlab import Worker, end, open_lab
from tests.real import BANGER

pytestmark = [pytest.mark.root]


@pytest.mark.requirement("DMN-001")
@pytest.mark.requirement("DMN-004")
def test_it_becomes_a_worker_for_whoever_typed_sudo(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.host.sh("mount -t tmpfs none /run; mount -t tmpfs none /var/lib; chmod 755 /run /var/lib")
        argv = lab.host.argv(BANGER, "worker", "--network", "10.80.0.0/24")
        process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env={**os.environ, "SUDO_UID": "1234"})
        lab.stack.callback(end, process)
        assert process.stderr is not None
        assert "serving user 1234 on 10.80.0.0/24" in process.stderr.readline()
        socket = Path(f"/proc/{lab.host.holder.pid}/root/run/banger/worker-1234.sock")
        assert socket.stat().st_uid == 1234
        worker = Worker(socket, process)
        assert worker.tap("a" * 32).address.startswith("10.80.0.")
        assert os.listdir(f"/proc/{process.pid}/root/var/lib/banger") == ["worker-1234"]  # noqa: PTH208
        environ = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert environ == b"LC_ALL=C.UTF-8\0"
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--network", "10.0.0.0/33"], "is not a network"),
        (["--network", "10.0.0.1/24"], "is not a network"),
        (["--network", "elsewhere"], "is not a network"),
        (["--owner", "me"], "--owner"),
    ],
)
def test_what_it_cannot_take_it_says_before_it_does_anything(words: list[str], says: str) -> None:
    done = subprocess.run([BANGER, "worker", *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_network_that_is_everybody_s_is_refused_without_a_traceback(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.host.sh("mount -t tmpfs none /var/lib; chmod 755 /var/lib")
        argv = lab.host.argv(BANGER, "worker", "--network", "8.8.8.0/24")
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert done.stderr == "banger worker: cannot start: 8.8.8.0/24 is not a private network of /16 to /29\n"


def test_nobody_but_root_is_let_try() -> None:
    argv = ["setpriv", "--reuid=65534", "--clear-groups", BANGER, "worker"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert "sudo banger worker" in done.stderr or "Permission denied" in done.stderr
