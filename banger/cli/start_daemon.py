"""Have a daemon: connect to the one that runs, or start one and wait for it."""

import os
import time
from typing import IO, TYPE_CHECKING

import banger
from banger.cli.client import Client
from banger.cli.decode import decode
from banger.daemon.address import HINT_PREFIX
from banger.model.errors import DaemonError
from banger.model.paths import StatePaths, state_paths
from banger.model.views import DaemonView, ShutdownView

if TYPE_CHECKING:
    import subprocess

START_DEADLINE_S = 30.0
POLL_S = 0.01
DAEMON_MODULE = "banger.daemon.main"
LOST_THE_RACE = 75
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_OF_REGISTRIES = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Paths of files: what is in them is read when a registry asks, not now."""
PASSED_ON = frozenset(("HOME", "PATH", "LANG", "TMPDIR", "USER", "LOGNAME", "PYTHONPATH", *_OF_REGISTRIES)).union(
    _PROXIES, (name.upper() for name in _PROXIES)
)
PASSED_PREFIXES: tuple[str, ...] = ("BANGER_", "XDG_", "LC_")


def daemon() -> Client:
    """Return a connection to the daemon of this user's state directory, starting one if there is none.

    A daemon of another version is replaced if it is idle. Raises DaemonError if it is busy or none can be started.
    """
    paths = state_paths(os.environ)
    client = Client.open(paths) or start(paths)
    view = decode(DaemonView, client.get("/v1/health"))
    if view.version == banger.__version__:
        return client
    answer = decode(ShutdownView, client.post("/v1/shutdown", {"if_idle": True}))
    client.close()
    if not answer.stopping:
        raise DaemonError(
            f"the daemon is version {view.version}, this is {banger.__version__}, and it is busy: {answer.reason}",
            hint="banger daemon stop",
        )
    return start(paths)


def running_daemon() -> Client | None:
    """Return a connection to the daemon if one runs. Never starts one."""
    return Client.open(state_paths(os.environ))


def start(paths: StatePaths) -> Client:
    """Start a daemon and return a connection to it, or to the one that another command line started meanwhile."""
    deadline = time.monotonic() + START_DEADLINE_S
    with os.fdopen(os.memfd_create("bangerd-stderr", os.MFD_CLOEXEC), "r+b") as stderr:
        child = _spawn(stderr)
        while time.monotonic() < deadline:
            client = Client.open(paths)
            if client:
                child.returncode = 0  # it is meant to outlive us: Popen, which thinks otherwise, would warn of it
                return client
            status = child.poll()
            if status == LOST_THE_RACE:
                # Another daemon holds the lock: it is about to listen, or about to go.
                time.sleep(20 * POLL_S)
                child = _spawn(stderr)
            elif status is not None:
                reason, hint = _reason(stderr, status)
                raise DaemonError(f"the daemon could not be started: {reason}", hint=hint or _hint(paths))
            time.sleep(POLL_S)
    raise DaemonError(f"the daemon did not answer within {START_DEADLINE_S:g} s", hint=_hint(paths))


def _spawn(stderr: IO[bytes]) -> "subprocess.Popen[bytes]":
    import subprocess
    import sys

    # -P: nothing in the working directory is ever imported.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", DAEMON_MODULE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    # The daemon outlives this command: what it is given must not depend on which shell came first, nor hold secrets.
    return {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith(PASSED_PREFIXES)}


def _reason(stderr: IO[bytes], status: int) -> tuple[str, str | None]:
    """What the daemon wrote last, and what it said to type."""
    stderr.seek(0)
    lines = stderr.read()[-4000:].decode(errors="replace").rstrip().splitlines()
    hint = lines.pop().removeprefix(HINT_PREFIX) if lines and lines[-1].startswith(HINT_PREFIX) else None
    return (lines[-1].strip() if lines else f"exit status {status}"), hint


def _hint(paths: StatePaths) -> str:
    return f"tail {paths.daemon_log}"
