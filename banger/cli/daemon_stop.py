"""`banger daemon stop`."""

import time

import click

from banger.cli.decode import decode
from banger.cli.start_daemon import running_daemon
from banger.model.errors import DeadlineError
from banger.model.views import DaemonView

STOP_DEADLINE_S = 40.0
POLL_S = 0.02


@click.command("stop")
def command() -> None:
    """Stop the daemon. What is under way is cancelled and undone; VMs stay."""
    client = running_daemon()
    if client is None:
        return
    with client:
        pid = decode(DaemonView, client.get("/v1/health")).pid
        client.post("/v1/shutdown", {})
    deadline = time.monotonic() + STOP_DEADLINE_S
    while _is_daemon(pid):
        if time.monotonic() > deadline:
            raise DeadlineError(f"the daemon (pid {pid}) has not stopped after {STOP_DEADLINE_S:g} s")
        time.sleep(POLL_S)


def _is_daemon(pid: int) -> bool:
    from pathlib import Path

    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in {"Z", "X", ""}
    except OSError:
        return False
