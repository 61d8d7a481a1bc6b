"""rtnetlink, as far as one bridge and its TAPs need it: links, an address, and which links lead out.

Our own, and not a library's: the one that there is imports ssl, multiprocessing, pickle and 300 modules more, and
nothing that root runs should. Formats: Linux, include/uapi/linux/{netlink,rtnetlink,if_link}.h; rtnetlink(7).
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

_MESSAGE = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=8BI")
_ATTRIBUTE = struct.Struct("=HH")
_REQUEST, _ACK, _EXCLUSIVE, _CREATE, _DUMP, _REPLACE = 0x1, 0x4, 0x200, 0x400, 0x300, 0x100
_ERROR, _END = 2, 3
_NEW_LINK, _DELETE_LINK, _GET_LINK, _NEW_ADDRESS, _GET_ROUTE = 16, 17, 18, 20, 26
_MAC, _NAME, _MASTER, _LINK_INFO, _ALIAS = 1, 3, 10, 18, 20
_INFO_KIND = 1
_LOCAL_IP, _IP = 2, 1
_ROUTE_TO, _ROUTE_LINK = 1, 4
_UP = 1
_ANSWER_DEADLINE_S = 10
_LARGEST_ANSWER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface. `alias` is the mark that its maker left, or nothing; `master` 0 if it is on no bridge."""

    index: int
    name: str
    mac: str
    alias: str
    master: int
    is_up: bool


class Netlink:
    """One socket, for one thread. Every method raises OSError with what the kernel said."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.settimeout(_ANSWER_DEADLINE_S)
        self._seq = 0

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def link(self, name: str) -> Link | None:
        """Look one up."""
        try:
            answers = self._ask(_GET_LINK, _REQUEST | _ACK, _link() + _attribute(_NAME, _text(name)))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return next(_links(answers), None)

    def links(self) -> list[Link]:
        """All of them."""
        return list(_links(self._ask(_GET_LINK, _REQUEST | _DUMP, _link())))

    def add_bridge(self, name: str, mac: str) -> None:
        """Make a bridge. Its address is there with it, so that it can be told from another of that name."""
        info = _attribute(_LINK_INFO, _attribute(_INFO_KIND, b"bridge"))
        body = _link() + _attribute(_NAME, _text(name)) + _attribute(_MAC, bytes.fromhex(mac.replace(":", ""))) + info
        self._ask(_NEW_LINK, _REQUEST | _ACK | _CREATE | _EXCLUSIVE, body)

    def set_link(self, index: int, *, alias: str | None = None, master: int | None = None, is_up: bool = False) -> None:
        """Mark a link, put it on a bridge, bring it up: what is asked for."""
        body = _link(index, _UP if is_up else 0, _UP if is_up else 0)
        if alias is not None:
            body += _attribute(_ALIAS, _text(alias))
        if master is not None:
            body += _attribute(_MASTER, struct.pack("=I", master))
        self._ask(_NEW_LINK, _REQUEST | _ACK, body)

    def delete_link(self, index: int) -> None:
        """Remove a link."""
        self._ask(_DELETE_LINK, _REQUEST | _ACK, _link(index))

    def set_address(self, index: int, address: IPv4Interface) -> None:
        """Give a link an address, if it does not have it."""
        body = _ADDRESS.pack(socket.AF_INET, address.network.prefixlen, 0, 0, index)
        body += _attribute(_LOCAL_IP, address.ip.packed) + _attribute(_IP, address.ip.packed)
        self._ask(_NEW_ADDRESS, _REQUEST | _ACK | _CREATE | _REPLACE, body)

    def routes(self) -> set[tuple[IPv4Network, str]]:
        """Where routes lead, and over which link."""
        found = set()
        names = dict(socket.if_nameindex())
        for body in self._ask(_GET_ROUTE, _REQUEST | _DUMP, _ROUTE.pack(socket.AF_INET, *[0] * 8)):
            given = dict(_attributes(body[_ROUTE.size :]))
            (index,) = struct.unpack("=I", given.get(_ROUTE_LINK, bytes(4)))
            if index in names:
                found.add((IPv4Network((given.get(_ROUTE_TO, bytes(4)), body[1])), names[index]))
        return found

    def _ask(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        self._seq += 1
        self._socket.send(_MESSAGE.pack(_MESSAGE.size + len(body), kind, flags, self._seq, 0) + body)
        answers: list[bytes] = []
        while True:
            data, (sender, _) = self._socket.recvfrom(_LARGEST_ANSWER)
            if sender != 0:  # a process may write to us; only the kernel answers
                continue
            for kind_found, seq, answer in _messages(data):
                if seq != self._seq:
                    continue
                if kind_found == _ERROR:
                    (code,) = struct.unpack_from("=i", answer)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return answers
                if kind_found == _END:
                    return answers
                answers.append(answer)


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return _LINK.pack(socket.AF_UNSPEC, 0, index, flags, change)


def _text(value: str) -> bytes:
    return value.encode("ascii") + b"\0"


def _attribute(kind: int, value: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + b"\0" * (-size % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + size]
        at += size + -size % 4


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + _MESSAGE.size <= len(data):
        size, kind, _, seq, _ = _MESSAGE.unpack_from(data, at)
        if size < _MESSAGE.size:
            return
        yield kind, seq, data[at + _MESSAGE.size : at + size]
        at += size + -size % 4


def _links(answers: list[bytes]) -> Iterator[Link]:
    for body in answers:
        _, _, index, flags, _ = _LINK.unpack_from(body)
        found = dict(_attributes(body[_LINK.size :]))
        name = found[_NAME].rstrip(b"\0").decode(errors="replace")
        alias = found.get(_ALIAS, b"").rstrip(b"\0").decode(errors="replace")
        (master,) = struct.unpack("=I", found.get(_MASTER, bytes(4)))
        yield Link(index, name, found.get(_MAC, b"").hex(":"), alias, master, bool(flags & _UP))
