"""openat2(2): open what lies below a directory, and nothing that a link leads to, whoever changes it meanwhile."""

import ctypes
import errno
import os
import struct

_OPENAT2 = 437  # the same on every architecture
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_HOW_BYTES = ctypes.c_size_t(24)
_AGAIN = (errno.EINTR, errno.EAGAIN)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def open_beneath(directory: int, path: str, flags: int = os.O_RDONLY) -> int:
    """Open `path`, relative to a directory's descriptor, without following a link anywhere on the way.

    A FIFO does not hold it up, and a terminal is not taken. Raises OSError: ELOOP for a link, EXDEV for a way out.
    """
    flags |= os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    how = struct.pack("=QQQ", flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)  # struct open_how
    while True:
        descriptor = int(_libc.syscall(_OPENAT2, directory, os.fsencode(path), how, _HOW_BYTES))
        if descriptor >= 0:
            return descriptor
        error = ctypes.get_errno()
        if error not in _AGAIN:
            raise OSError(error, os.strerror(error), path)
