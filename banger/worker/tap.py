"""Making a TAP that its owner may open. (Linux, include/uapi/linux/if_tun.h; Documentation/networking/tuntap.rst.)"""

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

_DEVICE = Path("/dev/net/tun")
_SET_INTERFACE = 0x400454CA
_SET_PERSISTENT = 0x400454CB
_SET_OWNER = 0x400454CC
_TAP, _NO_INFO, _VNET_HEADER, _ONLY_IF_NEW = 0x0002, 0x1000, 0x4000, 0x8000
_REQUEST = struct.Struct("16sH22x")


def make_tap(name: str, owner_uid: int, mark: Callable[[], None]) -> None:
    """Make a TAP. `mark` is called while it would still vanish with us: so none is ever left without its mark.

    Raises OSError: EBUSY or EEXIST if there is a link of that name.
    """
    device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = _TAP | _NO_INFO | _VNET_HEADER | _ONLY_IF_NEW
        fcntl.ioctl(device, _SET_INTERFACE, _REQUEST.pack(name.encode("ascii"), flags))
        fcntl.ioctl(device, _SET_OWNER, owner_uid)
        mark()
        fcntl.ioctl(device, _SET_PERSISTENT, 1)
    finally:
        os.close(device)
