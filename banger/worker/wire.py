"""What crosses from the owner to root: one message a frame, in the one spelling that it has.

A frame is its length (4 bytes, big endian) and JSON. The types below say all that a message can hold. Beyond that a
frame must be, byte for byte, what `encode` makes of the message in it: so a key written twice, a number spelt 1e3, an
escape, a space or a field out of its place is refused without a rule for each. Nothing here is a path or a free text.
"""

import struct
from typing import Annotated, Literal

import msgspec

VERSION = 1
LARGEST_FRAME = 64 * 1024
LENGTH = struct.Struct("!I")
MOST_DESTINATIONS = 16

VmId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
Seq = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Kind = Literal["bridge", "tap", "nat"]
Code = Literal["malformed", "version", "unknown", "order", "quota", "rate", "foreign", "kernel", "overlap", "full"]


class FrameError(Exception):
    """A frame that is not a message of ours. Its text names no more than the kind of fault."""


class UnknownOpError(FrameError):
    """A message for another version of the worker; `seq` is what it called itself."""

    def __init__(self, seq: int) -> None:
        super().__init__("unknown op")
        self.seq = seq


class Destination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a VM may go: a network (its address as a number, and a prefix length), a protocol, and a range of ports."""

    network: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    prefix: Annotated[int, msgspec.Meta(ge=0, le=32)]
    protocol: Literal["tcp", "udp"]
    first_port: Port
    last_port: Port


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", kw_only=True):
    """`seq` counts the requests of a connection from 1; the reply has it too."""

    seq: Seq


class Hello(Request, frozen=True, tag="hello"):
    """The first request of a connection."""

    version: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class HoldBridge(Request, frozen=True, tag="net.bridge"):
    """Have the bridge there for as long as this VM needs it."""

    vm: VmId


class HoldTap(Request, frozen=True, tag="net.tap"):
    """Have the VM's TAP on the bridge. What it sends with another's addresses is dropped."""

    vm: VmId


class HoldNat(Request, frozen=True, tag="net.nat"):
    """Let the VM out: everywhere (`egress`), or to `allow` alone. `peers`: and to other VMs that have said so too."""

    vm: VmId
    egress: bool
    peers: bool
    allow: Annotated[tuple[Destination, ...], msgspec.Meta(max_length=MOST_DESTINATIONS)]


class Release(Request, frozen=True, tag="release"):
    """Take away what is held; if it is gone already, that is as well."""

    kind: Kind
    vm: VmId


class Probe(Request, frozen=True, tag="probe"):
    """Ask whether what is held is there and sound."""

    kind: Kind
    vm: VmId


class List(Request, frozen=True, tag="list"):
    """Ask for all that is held."""


class Held(msgspec.Struct, frozen=True):
    """One thing that is held, and for which VM."""

    kind: Kind
    vm: str


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="reply", kw_only=True):
    """`seq` is that of the request."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Welcome(Reply, frozen=True, tag="welcome"):
    """The worker's version, and which of the instances on this machine it serves."""

    version: int
    instance: str


class Done(Reply, frozen=True, tag="done"):
    """It is so."""


class Attached(Reply, frozen=True, tag="attached"):
    """A TAP: its name, and what its VM must call itself to be heard. Addresses as text, the prefix in bits."""

    tap: str
    mac: str
    address: str
    prefix: int
    gateway: str


class Alive(Reply, frozen=True, tag="alive"):
    """The answer to a probe."""

    alive: bool


class Leases(Reply, frozen=True, tag="leases"):
    """All that is held."""

    held: tuple[Held, ...]


class Refused(Reply, frozen=True, tag="refused"):
    """Nothing was done, or all of it was undone. `errno`: what the kernel said, where it was the kernel; else 0."""

    code: Code
    errno: int = 0


AnyRequest = Hello | HoldBridge | HoldTap | HoldNat | Release | Probe | List
AnyReply = Welcome | Done | Attached | Alive | Leases | Refused
_OPS = frozenset(("hello", "net.bridge", "net.tap", "net.nat", "release", "probe", "list"))


class _Head(msgspec.Struct):
    op: str
    seq: Seq


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest, strict=True)
_replies: msgspec.json.Decoder[AnyReply] = msgspec.json.Decoder(AnyReply, strict=True)
_heads = msgspec.json.Decoder(_Head, strict=True)


def encode(message: AnyRequest | AnyReply) -> bytes:
    """Return the frame of a message. Raises FrameError if it is too large for one."""
    body = msgspec.json.encode(message)
    if len(body) > LARGEST_FRAME:
        raise FrameError("frame too large")
    return LENGTH.pack(len(body)) + body


def decode_request(body: bytes) -> AnyRequest:
    """Read the content of a frame. Raises UnknownOpError, or FrameError for anything that `encode` would not write."""
    try:
        head = _heads.decode(body)
        if head.op not in _OPS:
            raise UnknownOpError(head.seq)
        message = _requests.decode(body)
    except _UNREADABLE as error:
        raise FrameError("not a request") from error
    if msgspec.json.encode(message) != body:
        raise FrameError("not spelt as it must be")
    return message


def decode_reply(body: bytes) -> AnyReply:
    """Read the content of a frame that the worker sent. Raises FrameError."""
    try:
        return _replies.decode(body)
    except _UNREADABLE as error:
        raise FrameError("not a reply") from error


def take_frame(buffer: bytearray) -> bytes | None:
    """Take the first frame's content out of a buffer; None if it is not all there. Raises FrameError for its length."""
    if len(buffer) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack_from(buffer)
    if not 0 < size <= LARGEST_FRAME:
        raise FrameError("a frame of no length, or too long a one")
    if len(buffer) < LENGTH.size + size:
        return None
    body = bytes(buffer[LENGTH.size : LENGTH.size + size])
    del buffer[: LENGTH.size + size]
    return body
