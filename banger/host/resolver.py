"""Which name server of this host's a guest could ask too."""

from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

_FILES = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
"""systemd-resolved's own servers first: what it tells everybody else is itself, on loopback (systemd-resolved(8))."""


def name_server(files: tuple[Path, ...] = _FILES) -> str:
    """Return the first IPv4 name server that is not on this host's loopback; "" if there is none (resolv.conf(5))."""
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1 and _can_be_asked(words[1]):
                return words[1]
    return ""


def _can_be_asked(text: str) -> bool:
    try:
        return not IPv4Address(text).is_loopback
    except AddressValueError:
        return False
