"""The worker's entry: `python -I -m banger.worker --owner UID`, as root or from a systemd socket."""

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from banger.worker.audit import Audit
from banger.worker.journal import Journal, JournalError
from banger.worker.net import NetExecutor
from banger.worker.privileges import become, open_state
from banger.worker.serve import Server
from banger.worker.validation import RefusedError, instance_of

_FIRST_PASSED = 3
_EX_IOERR, _EX_TEMPFAIL, _EX_CONFIG = 74, 75, 78
_NOBODY_ELSE = 61899
"""Who the worker is where no account was made for it: of the numbers that no package and no person is given."""


@dataclass(frozen=True, slots=True)
class _Options:
    owner: int
    network: IPv4Network
    socket: Path
    state: Path
    uid: int


def main(arguments: list[str], checkpoint: Callable[[str], None] = lambda _: None) -> int:
    """Serve one owner until SIGTERM. What is held stays; the next worker finds it."""
    try:
        options = _options(arguments)
        instance = instance_of(options.owner, options.network)
        uid = options.uid if os.geteuid() == 0 else os.geteuid()
        directory = open_state(options.state, uid)
    except (KeyError, ValueError, OSError) as error:
        _say(f"cannot start: {error}")
        return _EX_CONFIG
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _say(f"another worker has {options.state}")
        return _EX_TEMPFAIL
    listener = _listener(options.socket, options.owner)
    become(uid)
    journal = Journal(directory, Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    audit = Audit(directory, lambda: time.clock_gettime(time.CLOCK_REALTIME))
    executor = NetExecutor(instance, options.owner, journal, checkpoint)
    try:
        for failure in executor.reconcile():
            _say(f"left by an earlier worker: {failure}")
    except RefusedError as error:
        _say(f"cannot start: {error}")
        return _EX_CONFIG
    server = Server(listener, options.owner, executor.perform, audit, time.monotonic)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    _say(f"serving user {options.owner} on {options.network} as instance {instance.id}")
    try:
        server.run()
    except (JournalError, OSError) as error:
        _say(f"nothing can be written down, so nothing more is done: {error}")
        return _EX_IOERR
    return 0


def _options(words: list[str]) -> "_Options":
    """Read `--name value` pairs. (argparse brings shutil along, and that every compression there is.)"""
    given = dict(zip(words[::2], words[1::2], strict=True))
    options = _Options(
        owner=int(given.pop("--owner")),
        network=IPv4Network(given.pop("--network")),
        socket=Path(given.pop("--socket")),
        state=Path(given.pop("--state")),
        uid=int(given.pop("--uid", _NOBODY_ELSE)),
    )
    if given:
        raise ValueError(f"not an option: {', '.join(given)}")
    return options


def _listener(path: Path, owner: int) -> socket.socket:
    """Return the socket that systemd has passed, or one of our own. There is no moment in which others can connect."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return socket.socket(fileno=_FIRST_PASSED)
    os.umask(0o022)
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(0o711)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o177)
    listener.bind(str(path))
    os.chown(path, owner, -1)
    listener.listen()
    return listener


def _say(text: str) -> None:
    sys.stderr.write(f"banger worker: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
