"""Find host programs: where they are, and what to install when they are not."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from banger.model.errors import HostError

_PACKAGE_OF: Mapping[str, str] = {
    "e2fsck": "e2fsprogs",
    "git": "git",
    "gpgv": "gpgv",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "prlimit": "util-linux",
    "nice": "coreutils",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "resize2fs": "e2fsprogs",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Debian keeps these out of a user's PATH, and mke2fs in one of them."""


def find_tool(name: str) -> Path | None:
    """Return the absolute path of a program, from PATH and the system folders; None if it is not installed."""
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder).is_absolute()]
    found = shutil.which(name, path=os.pathsep.join([*folders, *_SYSTEM_FOLDERS]))
    return Path(found) if found else None


def find_firecracker(configured: str | None) -> Path | None:
    """The program of Firecracker: the one that is configured, or else the one in PATH; None if there is none.

    Raises HostError if the configured one is not there, or not a program.
    """
    if configured is None:
        return find_tool("firecracker")
    if not Path(configured).is_file() or not os.access(configured, os.X_OK):
        raise HostError(f"firecracker_bin: {configured} is not a program", hint="banger config show")
    return Path(configured)


def get_tool(name: str) -> Path:
    """Return the absolute path of a program. Raises HostError that names Debian's package for it."""
    found = find_tool(name)
    if found is None:
        package = _PACKAGE_OF.get(name)
        raise HostError(
            f"{name}: not found on this machine", hint=f"sudo apt-get install {package}" if package else None
        )
    return found
