"""An installation of banger with nothing fake in it: the command line, its daemon, QEMU and real guests."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from banger.cli.client import Client
from banger.model.paths import StatePaths
from tests.fakes.installation import alive, wait_until

BANGER = str(Path(sys.executable).with_name("banger"))
DEADLINE_S = 240


class Banger:
    """A home directory, a state directory in it, and ways to run `banger` there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "state"
        self.temporary = home / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.env = {
            "BANGER_STATE_DIR": str(self.state),
            "BANGER_TEMPLATES": "off",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.temporary),
        }
        if "BANGER_DEBIAN_ARCHIVE" in os.environ:
            self.env["BANGER_DEBIAN_ARCHIVE"] = os.environ["BANGER_DEBIAN_ARCHIVE"]

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `banger` to its end."""
        return subprocess.run(
            [BANGER, *words],
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
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
            [BANGER, *words],
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def daemon_pid(self) -> int | None:
        """Pid in the lock file of the daemon, if that process lives."""
        try:
            pid = int((self.state / "run" / "bangerd.lock").read_text())
        except (OSError, ValueError):
            return None
        return pid if alive(pid) else None

    def stop(self) -> None:
        """Stop the daemon and see that it is gone. VMs outlive it."""
        pid = self.daemon_pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not alive(pid))

    def client(self) -> Client | None:
        """A connection to the daemon, if it answers."""
        return Client.open(StatePaths(self.state))

    def vmms(self) -> list[int]:
        """Pids of all QEMU processes that work in this state directory, whether anything knows of them or not."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    where = (entry / "cwd").readlink()
                except OSError:
                    continue
                if where.is_relative_to(self.state / "vms"):
                    found.append(int(entry.name))
        return found

    def leases(self) -> list[str]:
        """Every lease in the journal, as NODE/STATE."""
        with contextlib.closing(sqlite3.connect(f"file:{self.state}/banger.db?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT node, state FROM leases ORDER BY node").fetchall()
        return [f"{node}/{state}" for node, state in rows]

    def forget(self, kind: str) -> None:
        """Have the action cache forget a kind, so that it is made again. The daemon must be down."""
        with contextlib.closing(sqlite3.connect(self.state / "banger.db")) as connection:
            connection.execute("DELETE FROM actions WHERE kind = ?", (kind,))
            connection.commit()

    def litter(self) -> list[str]:
        """What is on the host though no VM is: processes, leases, directories, files outside the state directory."""
        return [
            *(f"process {pid}" for pid in self.vmms()),
            *(f"lease {lease}" for lease in self.leases()),
            *(f"{path}" for name in ("vms", "tmp", "cas/incoming") for path in (self.state / name).iterdir()),
            *(f"{path}" for path in self.temporary.iterdir()),
            *(f"{path}" for path in self.home.iterdir() if path not in {self.state, self.temporary}),
        ]


def copy_state(ready: Path, home: Path) -> Banger:
    """An installation that has the kernel and image of another one, whose daemon is down and which has no VM."""
    banger = Banger(home)
    banger.state.mkdir(mode=0o700)
    # Objects are immutable, so links do. They bear new stamps, so each is verified again at its first use.
    shutil.copytree(ready / "cas", banger.state / "cas", copy_function=os.link)
    for name in ("banger.db", "ssh", "answers"):
        source = ready / name
        if source.is_dir():
            shutil.copytree(source, banger.state / name)
        else:
            shutil.copy2(source, banger.state / name)
    return banger
