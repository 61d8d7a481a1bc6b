"""An installation of banger of its own for one test: real command line, real HTTP, real socket; the service is fake."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from banger.cli.client import Client
from banger.model.paths import StatePaths

ROOT = Path(__file__).parents[2]
FAKE_SSH = r"""#!/bin/sh
# ssh as the tests need it: notes its arguments, then runs the remote command here.
printf '%s\0' "$@" > "$FAKE_SSH_ARGV"
log=; remote=; seen=
while [ $# -gt 0 ]; do
  case $1 in
    -E) log=$2; shift ;;
    --) shift; remote=$2; break ;;
  esac
  shift
done
if [ -n "$FAKE_SSH_COMPLAINT" ]; then echo "$FAKE_SSH_COMPLAINT" >> "$log"; exit 255; fi
if [ -z "$remote" ]; then
  printf 'guest# '; read -r line; echo "you said $line"; exit 7
fi
exec sh -c "$remote"
"""


class Installation:
    """A state directory, an environment, and ways to run `banger` in it."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.paths = StatePaths(self.state)
        bin_dir = directory / "bin"
        bin_dir.mkdir()
        ssh = bin_dir / "ssh"
        ssh.write_text(FAKE_SSH)
        ssh.chmod(0o755)
        self.ssh_argv_file = directory / "ssh-argv"
        self.env = {
            "BANGER_STATE_DIR": str(self.state),
            "FAKE_SSH_ARGV": str(self.ssh_argv_file),
            "FAKE_SSH_WAIT_S": "5",
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "PATH": f"{bin_dir}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def argv(self, *words: str) -> list[str]:
        """The command line that runs `banger` with these words."""
        return [sys.executable, "-m", "tests.fakes.cli", *words]

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `banger` to its end."""
        return subprocess.run(
            self.argv(*words),
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def ok(self, *words: str, **env: str) -> str:
        """Run `banger`, which must succeed, and return its stdout."""
        done = self.run(*words, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def begin(self, *words: str, **env: str) -> "subprocess.Popen[str]":
        """Start `banger` in a process group of its own, as a shell does."""
        return subprocess.Popen(
            self.argv(*words),
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def create(self, *names: str) -> None:
        """Make VMs as `vm create` does, without starting a command line for each."""
        if self.daemon_pid() is None:
            self.ok("vm", "list")
        with self.client() as client:
            for name in names:
                sizes = {"vcpus": 2, "memory_mib": 1024, "disk_bytes": 8 << 30}
                begun = client.post("/v1/vms", {"vm": {"name": name, "sizes": sizes}})
                assert isinstance(begun, dict)
                *_, last = client.stream(f"/v1/operations/{begun['id']}/events")
                assert last["event"] == "result", last

    def names(self) -> list[str]:
        """Names of the VMs that there are, as the fake service has them on disk."""
        file = self.state / "vms.json"
        return [vm["name"] for vm in json.loads(file.read_text())] if file.exists() else []

    def calls(self, method: str | None = None) -> list[object]:
        """What the fake service was asked to do: arguments of one method, or names of all."""
        file = self.state / "calls.jsonl"
        calls = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [argument if method else name for name, argument in calls if method in {None, name}]

    def ssh_argv(self) -> list[str]:
        """Arguments that the fake ssh was given last."""
        return self.ssh_argv_file.read_text().split("\0")[:-1]

    def client(self) -> Client:
        """A connection to the daemon, which must be there."""
        client = Client.open(self.paths)
        assert client
        return client

    def daemon_pid(self) -> int | None:
        """Pid of the daemon that answers, if one does."""
        client = Client.open(self.paths)
        if client is None:
            return None
        with client:
            view = client.get("/v1/health")
        assert isinstance(view, dict)
        return int(view["pid"])

    def stop(self) -> None:
        """Stop the daemon and see that it is gone."""
        pid = self.daemon_pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], deadline_s: float = 15.0) -> None:
    """Return when a condition holds; fail if it does not in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


@contextlib.contextmanager
def installed(directory: Path) -> Iterator[Installation]:
    """An installation whose guests' SSH says hello, and whose daemon is gone at the end."""
    installation = Installation(directory)
    with socket.create_server(("127.0.0.1", 0)) as server:
        installation.env["FAKE_SSH_PORT"] = str(server.getsockname()[1])
        thread = threading.Thread(target=_say_hello, args=(server,), daemon=True)
        thread.start()
        try:
            yield installation
        finally:
            installation.stop()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _say_hello(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _address = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-fake\r\n")
