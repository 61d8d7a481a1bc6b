"""`sudo banger worker`: become the root side, for a machine without systemd."""

import os
import sys
from ipaddress import IPv4Network
from pathlib import Path

import click

from banger.model.errors import SpecError
from banger.model.worker import DEFAULT_NETWORK, worker_socket

_STATE = Path("/var/lib/banger")


@click.command("worker")
@click.option("--network", default=DEFAULT_NETWORK, metavar="CIDR", help=f"Addresses of VMs ({DEFAULT_NETWORK}).")
@click.option("--owner", type=int, metavar="UID", help="Whose VMs they are (default: who typed sudo).")
def command(*, network: str, owner: int | None) -> None:
    """Hold TAPs and firewall rules for VMs of one user, until it is told to end. Needs root; gives it up at once."""
    if os.geteuid() != 0:
        raise SpecError("the worker makes TAPs and firewall rules: only root can", hint="sudo banger worker")
    uid = owner if owner is not None else int(os.environ.get("SUDO_UID", "0"))
    try:
        checked = IPv4Network(network)
    except ValueError as error:
        raise SpecError(f"{network!r} is not a network such as {DEFAULT_NETWORK}: {error}") from error
    _STATE.mkdir(mode=0o755, exist_ok=True)
    # In a process of its own, so that nothing is loaded in it that the command line needs; -I: nothing from around it.
    words = [sys.executable, "-I", "-B", "-m", "banger.worker", "--owner", str(uid), "--network", str(checked)]
    words += ["--socket", str(worker_socket(uid)), "--state", str(_STATE / f"worker-{uid}")]
    os.execve(words[0], words, {"LC_ALL": "C.UTF-8"})  # noqa: S606 - no shell, an absolute path, no environment
