"""Where daemon and command line meet: a socket in a directory that only its owner can enter.

The socket is reached as /proc/self/fd/N/bangerd.sock, through a descriptor of its directory: a socket's path must fit
in 107 bytes (unix(7)) and a state directory's need not; and the directory that was checked is the one that is used.
"""

import contextlib
import os
import socket
import stat

from banger.model.errors import DaemonError
from banger.model.paths import SOCKET_NAME, StatePaths

PRIVATE_MODE = 0o700
HINT_PREFIX = "  try: "
"""Begins the last line of what a daemon that cannot start writes to stderr, if there is something to type."""


def make_run_dir(paths: StatePaths) -> int:
    """Make the state and run directories if they are missing and return a descriptor of the latter, checked."""
    paths.root.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
    paths.run_dir.mkdir(mode=PRIVATE_MODE, exist_ok=True)
    return open_run_dir(paths)


def open_run_dir(paths: StatePaths) -> int:
    """Return a descriptor of the run directory.

    Raises FileNotFoundError if there is none, DaemonError if another user owns it or could put a socket there.
    """
    run_dir = paths.run_dir
    try:
        descriptor = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DaemonError(f"{run_dir}: {error.strerror}", hint=f"ls -ld {run_dir}") from error
    problem = _problem(os.fstat(descriptor))
    if problem:
        os.close(descriptor)
        raise DaemonError(f"{run_dir}: {problem}", hint=f"ls -ld {run_dir}")
    return descriptor


def _problem(status: os.stat_result) -> str | None:
    if status.st_uid != os.geteuid():
        return f"owned by uid {status.st_uid}, not by uid {os.geteuid()}"
    if stat.S_IMODE(status.st_mode) & 0o077:
        return f"open to other users (mode {stat.S_IMODE(status.st_mode):04o}, not 0700)"
    return None


def socket_path(run_dir: int) -> str:
    """Name the socket in a way that is short whatever the directory's path is."""
    return f"/proc/self/fd/{run_dir}/{SOCKET_NAME}"


def connect(paths: StatePaths, timeout_s: float) -> socket.socket | None:
    """Connect to the daemon; None if there is none. Raises DaemonError for a directory that cannot be trusted."""
    try:
        run_dir = open_run_dir(paths)
    except FileNotFoundError:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(socket_path(run_dir))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise DaemonError(f"{paths.socket}: {error.strerror or error}", hint="banger daemon status") from error
    finally:
        os.close(run_dir)
    return connection


def unlink_socket(run_dir: int) -> None:
    """Remove the socket's name, if it is there. Only the holder of the daemon lock may call this."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET_NAME, dir_fd=run_dir)


def listen(run_dir: int) -> socket.socket:
    """Bind the socket, mode 0600, replacing a stale one. Only the holder of the daemon lock may call this."""
    unlink_socket(run_dir)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(socket_path(run_dir))
    finally:
        os.umask(before)
    listener.listen(128)
    listener.setblocking(False)
    return listener
