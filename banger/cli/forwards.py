"""Forwarded ports as people type them: HOST:GUEST, ADDRESS:HOST:GUEST, or one number for both; `/udp` behind it."""

import re
from typing import Literal

from banger.model.errors import SpecError
from banger.model.vm import LOOPBACK, Forward

_FORM = re.compile(
    r"(?:(?P<address>[0-9]+(?:\.[0-9]+){3}):)?(?:(?P<host>[0-9]{1,5}):)?(?P<guest>[0-9]{1,5})(?:/(?P<protocol>tcp|udp))?\Z"
)
_LAST = 65535
_OCTET_MOST = 255
_OCTETS = 4


def parse_forward(text: str) -> Forward:
    """Read a forwarded port. Raises SpecError."""
    match = _FORM.match(text)
    if not match or (match["address"] and not match["host"]):
        raise SpecError(f"{text[:60]!r} is no forwarded port: write HOST:GUEST, such as 8080:80, or ADDRESS:HOST:GUEST")
    guest = _port(match["guest"], text)
    host = _port(match["host"], text) if match["host"] else guest
    protocol: Literal["tcp", "udp"] = "udp" if match["protocol"] == "udp" else "tcp"
    return Forward(host, guest, _address(match["address"], text), protocol)


def _port(digits: str, text: str) -> int:
    number = int(digits)
    if not 1 <= number <= _LAST:
        raise SpecError(f"{text[:60]!r}: port {number} is out of range: 1 to {_LAST}")
    return number


def _address(given: str | None, text: str) -> str:
    if given is None:
        return LOOPBACK
    octets = given.split(".")
    if len(octets) != _OCTETS or not all(re.fullmatch("0|[1-9][0-9]{0,2}", one) for one in octets):
        raise SpecError(f"{text[:60]!r}: {given} is not an IPv4 address")
    if any(int(one) > _OCTET_MOST for one in octets):
        raise SpecError(f"{text[:60]!r}: {given} is not an IPv4 address")
    return given
