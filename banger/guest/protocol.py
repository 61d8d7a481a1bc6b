"""What banger and its guest agent say to each other: bodies of requests, and the values that answers become.

An answer comes from a machine that may be hostile: its size is bounded by the frame, its JSON is checked against a
closed type, and its text loses every character that a terminal could act on.
"""

import enum
import struct
from collections.abc import Sequence
from typing import Annotated, Final, TypeVar

import msgspec

from banger.model.errors import GuestError, SpecError
from banger.model.exec import ExecRequest, TerminalSize

PORT_NAME: Final = "org.banger.agent.0"
REPLY_BIT: Final = 0x80
ERROR_TYPE: Final = 0xFF
NONCE_BYTES: Final = 16
SEED_BYTES: Final = 64
_MILLISECONDS: Final = 1000
EXEC_WORDS_LARGEST_BYTES: Final = 64000
_U16_LARGEST: Final = 0xFFFF
_U32_LARGEST: Final = 0xFFFFFFFF

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Status = Annotated[int, msgspec.Meta(ge=0, le=255)]
_PortNumber = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Request(enum.IntEnum):
    """The type of a frame from the host."""

    HELLO = 1
    HEALTHZ = 2
    PORTS = 3
    TIME = 4
    SET_TIME = 5
    IDENTITY = 6
    WAIT_SSH = 7
    SYNC = 8
    SHUTDOWN = 9
    EXEC_START = 10
    EXEC_STDIN = 11
    EXEC_SIGNAL = 12
    EXEC_RESIZE = 13
    EXEC_WINDOW = 14
    EXEC_KILL = 15
    FREEZE = 16
    RESEED = 17


class Event(enum.IntEnum):
    """The type of a frame that the agent sends unasked."""

    EXEC_STDOUT = 64
    EXEC_STDERR = 65
    EXEC_EXIT = 66
    EXEC_CREDIT = 67
    STARTED = 68


class Tag(enum.IntEnum):
    """The tag of a field in a request."""

    NONCE = 1
    TIME_NS = 2
    DEADLINE_MS = 3
    HOSTNAME = 4
    HOST_KEY = 5
    HOST_PUBLIC_KEY = 6
    AUTHORIZED_KEY = 7
    SEED = 8
    MACHINE_ID = 9
    MAC = 10
    ADDRESS = 11
    GATEWAY = 12
    NAME_SERVER = 13
    ARGV = 14
    ENV = 15
    CWD = 16
    TERMINAL = 17
    WINDOW = 18
    SIGNAL = 19
    WORK_BYTES = 20


class SshState(enum.StrEnum):
    """Whether SSH can be used: it waits for the identity, the image has no sshd, or port 22 listens."""

    OFF = "off"
    ABSENT = "absent"
    LISTENING = "listening"


class _Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Text fields of subclasses are made safe to show, by `printable`, as they are decoded."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) is str:
                msgspec.structs.force_setattr(self, name, printable(value))


AnswerT = TypeVar("AnswerT", bound=_Answer)


class Welcome(_Answer, frozen=True, kw_only=True):
    """The answer to HELLO: who speaks which version of the protocol."""

    nonce: str
    protocol: _Count
    version: str


class Stages(_Answer, frozen=True, kw_only=True):
    """When each stage of the boot was reached, in ns after the kernel started; None: not yet."""

    init: _Count | None = None
    modules: _Count | None = None
    root: _Count | None = None
    agent: _Count | None = None
    network: _Count | None = None
    identity: _Count | None = None
    ssh: _Count | None = None


class Health(_Answer, frozen=True, kw_only=True):
    """How the guest is. `failure` is the first step of its boot that failed, and why; "" if none did."""

    version: str
    uptime_ns: _Count
    ssh: SshState
    network_up: bool
    stages_ns: Stages
    failure: str


class Listener(_Answer, frozen=True, kw_only=True):
    """A TCP socket that listens in the guest; `pid` is 0 and the texts are "" if its process is unknown."""

    address: str
    port: _PortNumber
    pid: _Count
    process: str
    command: str


class Ports(_Answer, frozen=True, kw_only=True):
    """The TCP listeners of the guest; `truncated` if there are more than are told."""

    listeners: tuple[Listener, ...]
    truncated: bool


class GuestTime(_Answer, frozen=True, kw_only=True):
    """The guest's clock (ns since 1970) and its uptime (ns)."""

    time_ns: _Count
    uptime_ns: _Count


class Nothing(_Answer, frozen=True, kw_only=True):
    """An answer that says only that it is done."""


class Started(_Answer, frozen=True, kw_only=True):
    """The answer to EXEC_START: the program's process in the guest."""

    pid: _Count


class Credit(_Answer, frozen=True, kw_only=True):
    """So many more bytes of input fit."""

    bytes: _Count


class ExitStatus(_Answer, frozen=True, kw_only=True):
    """How a program ended: with a code, or by a signal."""

    code: _Status | None = None
    signal: _Status | None = None


class Refusal(_Answer, frozen=True, kw_only=True):
    """Why the agent did not do what was asked; docs/guest-protocol.md lists the codes."""

    code: str
    message: str


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """New addresses for a machine that was restored: `mac` is 6 bytes, `address` is `10.0.2.15/24`. None: as it is."""

    mac: bytes | None = None
    address: str | None = None
    gateway: str | None = None
    name_server: str | None = None


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a machine itself. `host_key` (a private key, OpenSSH PEM) and `seed` (32 to 512 bytes) are secrets.

    `work_bytes`: the size of the work disk that a restored machine mounts now; None: it is mounted, or there is none.
    """

    hostname: str
    host_key: str
    host_public_key: str
    authorized_key: str
    seed: bytes
    machine_id: str | None = None
    network: Network = Network()
    work_bytes: int | None = None

    def __repr__(self) -> str:
        """Name the machine, and none of its secrets."""
        return f"Identity(hostname={self.hostname!r})"


def printable(text: str) -> str:
    """Return guest text as it may be shown: bytes read as UTF-8, and U+FFFD for whatever is not printable."""
    decoded = text.encode("latin-1", "replace").decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in decoded)


def encode_fields(fields: dict[Tag, bytes]) -> bytes:
    """Return the body of a request: for each field tag and length, 16 bits each, and its bytes."""
    return b"".join(struct.pack(">HH", tag, len(value)) + value for tag, value in sorted(fields.items()))


def encode_time(time_ns: int) -> bytes:
    """Return the body of SET_TIME."""
    return encode_fields({Tag.TIME_NS: struct.pack(">Q", time_ns)})


def encode_seed(seed: bytes) -> bytes:
    """Return the body of RESEED."""
    return encode_fields({Tag.SEED: seed})


def encode_deadline(deadline_s: float) -> bytes:
    """Return the body of a request that takes a deadline."""
    milliseconds = min(max(0, round(deadline_s * _MILLISECONDS)), _U32_LARGEST)
    return encode_fields({Tag.DEADLINE_MS: struct.pack(">I", milliseconds)})


def encode_identity(identity: Identity) -> bytes:
    """Return the body of IDENTITY."""
    texts = {
        Tag.HOSTNAME: identity.hostname,
        Tag.HOST_KEY: identity.host_key,
        Tag.HOST_PUBLIC_KEY: identity.host_public_key.strip(),
        Tag.AUTHORIZED_KEY: identity.authorized_key.strip(),
        Tag.MACHINE_ID: identity.machine_id,
        Tag.ADDRESS: identity.network.address,
        Tag.GATEWAY: identity.network.gateway,
        Tag.NAME_SERVER: identity.network.name_server,
    }
    fields = {tag: text.encode() for tag, text in texts.items() if text is not None}
    fields[Tag.SEED] = identity.seed
    if identity.network.mac is not None:
        fields[Tag.MAC] = identity.network.mac
    if identity.work_bytes is not None:
        fields[Tag.WORK_BYTES] = struct.pack(">Q", identity.work_bytes)
    return encode_fields(fields)


def encode_number(tag: Tag, number: int) -> bytes:
    """Return the body of a request that holds one number of 32 bits."""
    return encode_fields({tag: struct.pack(">I", number)})


def encode_terminal(size: TerminalSize) -> bytes:
    """Return the body of EXEC_RESIZE."""
    return encode_fields({Tag.TERMINAL: _terminal(size)})


def encode_exec(request: ExecRequest, window_bytes: int) -> bytes:
    """Return the body of EXEC_START. Raises SpecError if it does not fit a frame, or a text holds a NUL."""
    fields = {Tag.ARGV: _words(request.argv), Tag.WINDOW: struct.pack(">I", window_bytes)}
    if not request.argv or not request.argv[0]:
        raise SpecError("there is no command to run")
    if request.env:
        fields[Tag.ENV] = _words([f"{name}={value}" for name, value in request.env.items()])
    if request.cwd is not None:
        fields[Tag.CWD] = _words([request.cwd])
    if request.terminal is not None:
        fields[Tag.TERMINAL] = _terminal(request.terminal)
    size = sum(len(value) for value in fields.values())
    if size > EXEC_WORDS_LARGEST_BYTES:
        raise SpecError(f"command and environment have {size} bytes: {EXEC_WORDS_LARGEST_BYTES} fit")
    return encode_fields(fields)


def _words(words: Sequence[str]) -> bytes:
    # surrogateescape: a file name of the host's that is no UTF-8 passes as the bytes that it is.
    encoded = [word.encode("utf-8", "surrogateescape") for word in words]
    if any(b"\0" in word for word in encoded):
        raise SpecError("a word of a command cannot hold a NUL byte")
    return b"".join(word + b"\0" for word in encoded)


def _terminal(size: TerminalSize) -> bytes:
    return struct.pack(">HH", min(size.rows, _U16_LARGEST), min(size.columns, _U16_LARGEST))


def decode_answer(body: bytes, kind: type[AnswerT]) -> AnswerT:
    """Return the value that an answer's body holds. Raises GuestError if it is not exactly that."""
    try:
        return msgspec.json.decode(body, type=kind, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        name = kind.__name__.lower()
        raise GuestError(f"guest agent: its answer is no {name}: {printable(str(error))}") from error
