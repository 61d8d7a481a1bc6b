"""Giving up everything but CAP_NET_ADMIN, for good; and who is at the other end of a socket. (capabilities(7).)"""

import ctypes
import os
import resource
import socket
import stat
import struct
from pathlib import Path

NET_ADMIN = 12
_KEEP_CAPS, _DROP_BOUND, _NO_NEW_PRIVILEGES = 8, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_CAPSET_X86_64 = 126
_PEER = struct.Struct("3i")
_FILES = 64


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Return uid and pid of who connected, as they were then."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(data)
    return uid, pid


def become(uid: int) -> None:
    """Become a user who may administer the network and nothing else. Raises OSError."""
    os.umask(0o077)
    os.chdir("/")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
        for capability in range(last + 1):
            if capability != NET_ADMIN:
                _check(libc.prctl(_DROP_BOUND, capability, 0, 0, 0))
        _check(libc.prctl(_KEEP_CAPS, 1, 0, 0, 0))
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    mask = 1 << NET_ADMIN
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _check(libc.syscall(_CAPSET_X86_64, header, struct.pack("=6I", mask, mask, 0, 0, 0, 0)))
    _check(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))


def open_state(path: Path, uid: int) -> int:
    """Open the state directory, made if need be: nobody but root can have put another in its place. Raises OSError."""
    for parent in path.resolve().parents:
        found = parent.stat()
        sticky = found.st_mode & stat.S_ISVTX
        if found.st_uid != 0 or (found.st_mode & 0o022 and not sticky):
            raise PermissionError(f"{parent} is not root's alone")
    path.mkdir(mode=0o700, exist_ok=True)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    if os.geteuid() == 0:
        os.fchown(directory, uid, uid)
    found = os.fstat(directory)
    if found.st_uid != uid or found.st_mode & 0o077:
        os.close(directory)
        raise PermissionError(f"{path} is not the worker's alone")
    return directory


def _check(result: int) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
