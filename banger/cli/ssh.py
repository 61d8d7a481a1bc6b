"""Run ssh(1) as a child in our place, told everything by options: no configuration file of anyone is read."""

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from types import FrameType

from banger.model.errors import DeadlineError, GuestError, HostError
from banger.model.vm import SshEndpoint, VmView

GUEST_REPOSITORY = "/root/repo"
OWN_FAILURE = 255
"""ssh's exit status for its own errors, and, alas, for a remote command that ended with 255."""
SSH_WAIT_S = 60.0
BANNER_TIMEOUT_S = 5.0
SIGNAL_BASE = 128


def endpoint_of(vm: VmView) -> SshEndpoint:
    """Return where the VM's SSH is. Raises GuestError if it has none, as a stopped VM."""
    if vm.ssh is None:
        raise GuestError(f"VM {vm.name!r} is {vm.state}: there is no SSH to talk to", hint=f"banger vm start {vm.name}")
    return vm.ssh


def ssh_argv(endpoint: SshEndpoint, error_log: str, remote: str | None, *, terminal: bool) -> list[str]:
    """Build the command line. `error_log`: where ssh writes its own complaints; `remote`: one shell command."""
    options = {
        "BatchMode": "yes",
        "ClearAllForwardings": "yes",
        "ConnectTimeout": "20",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlias": endpoint.host_key_alias,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": _quoted(endpoint.identity_file),
        "LogLevel": "ERROR",
        "PermitLocalCommand": "no",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "UserKnownHostsFile": _quoted(endpoint.known_hosts_file),
    }
    argv = ["ssh", "-F", "none", "-E", error_log, "-t" if terminal else "-T", "-p", str(endpoint.port)]
    for name, value in options.items():
        argv += ["-o", f"{name}={value}"]
    argv += ["-l", endpoint.user, "--", endpoint.host]
    return argv if remote is None else [*argv, remote]


def _quoted(path: str) -> str:
    # ssh_config(5): words are separated by blanks, and % begins a token.
    return '"' + path.replace("%", "%%") + '"'


def remote_command(words: Sequence[str], directory: str | None) -> str:
    """Write a command as one line for the guest's shell, which must stay: only it turns a signal into 128 + n."""
    run = f'{shlex.join(words)}; exit "$?"'
    return f"cd {shlex.quote(directory)} && {{ {run}; }}" if directory else run


def remote_shell(directory: str | None) -> str | None:
    """Write how a login shell begins in a directory; None for the login shell as it is."""
    if directory is None:
        return None
    return f'cd {shlex.quote(directory)}; exec "${{SHELL:-/bin/sh}}" -l'


def wait_for_ssh(vm: VmView) -> None:
    """Return when the guest's SSH server has said who it is. A connection alone proves nothing: QEMU accepts it itself.

    Raises DeadlineError that names the VM and where to look.
    """
    endpoint = endpoint_of(vm)
    end = time.monotonic() + SSH_WAIT_S
    while not _says_banner(endpoint):
        if time.monotonic() >= end:
            raise DeadlineError(
                f"VM {vm.name!r}: no answer from its SSH within {SSH_WAIT_S:g} s", hint=f"banger vm logs {vm.name}"
            )
        time.sleep(0.1)


def _says_banner(endpoint: SshEndpoint) -> bool:
    try:
        with socket.create_connection((endpoint.host, endpoint.port), BANNER_TIMEOUT_S) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def run_ssh(vm: VmView, words: Sequence[str], directory: str | None) -> int:
    """Run a command in the guest, or a login shell if there are no words, and return the exit status of that.

    128 + n if a signal ended it. Raises GuestError if it was ssh that failed, HostError if there is no ssh.
    """
    endpoint = endpoint_of(vm)
    remote = remote_command(words, directory) if words else remote_shell(directory)
    with os.fdopen(os.memfd_create("ssh-errors", os.MFD_CLOEXEC), "rb") as errors:
        # By our own /proc entry: ssh closes every descriptor that it inherits.
        log = f"/proc/{os.getpid()}/fd/{errors.fileno()}"
        argv = ssh_argv(endpoint, log, remote, terminal=not words)
        status, caught = _run(argv)
        complaint = errors.read()[-2000:].decode(errors="replace").strip()
    if caught and (status < 0 or status == OWN_FAILURE):
        return SIGNAL_BASE + caught[0]
    if status < 0:
        return SIGNAL_BASE - status
    if status == OWN_FAILURE and complaint:
        raise GuestError(f"VM {vm.name!r}: {_one_line(complaint)}", hint=f"banger vm logs {vm.name}")
    return status


def _run(argv: list[str]) -> tuple[int, list[int]]:
    """Run ssh and outlive the signals that end it; return its status and the signals that came.

    Ctrl-C reaches ssh from the terminal, as it is in our process group. SIGTERM and SIGHUP reach only us: passed on.
    A handler, not SIG_IGN, which the child would inherit.
    """
    caught: list[int] = []
    child: list[subprocess.Popen[bytes]] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        if number != signal.SIGINT and child:
            child[0].send_signal(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        child.append(subprocess.Popen(argv))
        for number in caught:  # those that came before there was anybody to pass them on to
            child[0].send_signal(number)
        return child[0].wait(), caught
    except FileNotFoundError as error:
        raise HostError("ssh: not found on this machine", hint="banger doctor") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())
