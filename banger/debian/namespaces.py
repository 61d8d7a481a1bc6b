"""Run a program in namespaces of its own, as root there and with all of its children dying with us.

An ordinary user is root in a user namespace with the subordinate ids that /etc/subuid gives (user_namespaces(7),
newuidmap(1)); mounts, processes and network are private for everybody. When this process dies, even by SIGKILL, the
kernel ends the first process of the PID namespace, and with it every other one and every mount.
"""

import os
import pwd
from collections.abc import Sequence
from pathlib import Path

import anyio

from banger.host.process import run
from banger.host.tools import find_tool
from banger.model.errors import HostError

_PRIVATE = ("--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child=KILL")
# uid 0 is the user; 65536 more make every uid of a Debian system, `nobody` included.
_AS_USER = ("--user", "--map-root-user", "--map-auto")
_PROBE_S = 20
_REMOVE_S = 300
_REMOVE_TRIES = 5
_FULL_RANGE = 65536


def is_root() -> bool:
    """Say whether no user namespace is needed."""
    return os.geteuid() == 0


def namespace_argv(argv: Sequence[str]) -> list[str]:
    """Return a command line that runs `argv` in private namespaces."""
    user = () if is_root() else _AS_USER
    # setpriv makes unshare die with us; unshare's --kill-child passes that on.
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *user, *_PRIVATE, "--mount-proc", "--", *argv]


def tool_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return an environment with nothing of the caller's but PATH, which gets the system's directories."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return {"PATH": path, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", **(extra or {})}


async def check_namespaces() -> None:
    """Try the namespaces. Raises HostError that says what this machine lacks and how to get it."""
    done = await run(namespace_argv(["true"]), deadline_s=_PROBE_S, env=tool_environment())
    if done.status != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise explain_refusal(said[-1] if said else f"exit status {done.status}", root=is_root())


def explain_refusal(
    said: str,
    *,
    root: bool,
    user: str | None = None,
    proc: Path = Path("/proc/sys"),
    etc: Path = Path("/etc"),
    helper: bool | None = None,
) -> HostError:
    """Return the error for a machine that refused the namespaces and `said` so: the first reason that applies."""
    what = "a root filesystem needs namespaces, and this machine refuses them"
    if root:
        return HostError(f"{what} to root: {said}", hint="run outside of a container, or as an ordinary user")
    name = user or _user_name()
    if not (find_tool("newuidmap") is not None if helper is None else helper):
        return HostError(f"{what}: newuidmap is not installed", hint="sudo apt-get install uidmap")
    for file in ("subuid", "subgid"):
        if _subordinate_ids(etc / file, name) < _FULL_RANGE:
            return HostError(
                f"{what}: /etc/{file} gives {name} fewer than {_FULL_RANGE} subordinate ids",
                hint=f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}",
            )
    for knob, bad, good in (
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("user/max_user_namespaces", "0", "15000"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ):
        if _read(proc / knob) == bad:
            key = knob.replace("/", ".")
            return HostError(f"{what}: {key} is {bad}", hint=f"sudo sysctl -w {key}={good}")
    return HostError(f"{what}: {said}", hint="run banger as root, or ask the administrator of this machine")


async def remove_scratch(path: Path) -> None:
    """Remove a directory in which a bootstrap worked, with the files of subordinate ids in it. Absent is fine.

    Raises HostError when something is left.
    """
    argv = ["rm", "-rf", "--one-file-system", "--", str(path)]
    if not is_root():
        argv = ["unshare", *_AS_USER, "--", *argv]
    for attempt in range(1, _REMOVE_TRIES + 1):
        done = await run(argv, deadline_s=_REMOVE_S, env=tool_environment())
        if done.status == 0:
            return
        if attempt == _REMOVE_TRIES:
            done.check(f"remove {path}")
        # A bootstrap that was killed a moment ago may write until the kernel has reached its last process.
        await anyio.sleep(0.2 * attempt)


def _subordinate_ids(path: Path, name: str) -> int:
    """Count what subuid(5) gives a user, who is there by name or by number."""
    owners = {name, str(os.getuid())}
    count = 0
    for line in _read(path).splitlines():
        owner, _, rest = line.strip().partition(":")
        start, _, length = rest.partition(":")
        if owner in owners and start.isdigit() and length.isdigit():
            count += int(length)
    return count


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
