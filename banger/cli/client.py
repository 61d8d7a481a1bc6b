"""HTTP/1.1 to our own daemon, over its unix socket. Just enough of RFC 9112 for what that one server sends.

The standard library's http.client imports the email package: 15 to 40 ms, more than `vm list` takes altogether. This
client speaks to a peer that it has checked, reads bounded headers, and knows Content-Length and chunked bodies.
"""

import json
import socket
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Self
from urllib.parse import quote

from banger.daemon.address import connect
from banger.model import errors
from banger.model.errors import BangerError, DaemonError
from banger.model.paths import StatePaths

CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 120.0
HEADER_LINES = 64
OK = 200
FIRST_ERROR = 400
LINE_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_BYTES = 64 * 1024 * 1024

_KINDS: dict[str, type[BangerError]] = {
    kind.code: kind
    for kind in (
        errors.SpecError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.HostError,
        errors.TransientError,
        errors.DeadlineError,
        errors.GuestError,
        errors.ActionError,
        errors.StoreError,
        errors.DaemonError,
    )
}


def vm_path(ref: str, rest: str = "") -> str:
    """The path of one VM in the API; `ref` is what a user typed."""
    return f"/v1/vms/{quote(ref, safe='')}{rest}"


def kernel_path(name: str, rest: str = "") -> str:
    """The path of one kernel in the API; `name` is what a user typed."""
    return f"/v1/kernels/{quote(name, safe='')}{rest}"


def chunk(data: bytes) -> bytes:
    """Frame a piece of a body that is sent in chunks (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def artifact_path(digest: str, rest: str = "") -> str:
    """The path of one artifact in the API; `digest` is what a user typed."""
    return f"/v1/cache/{quote(digest, safe=':')}{rest}"


def image_path(ref: str) -> str:
    """The path of one image in the API; `ref` is what a user typed, slashes and all."""
    return f"/v1/images/{quote(ref, safe='/:@')}"


def remote_error(code: str, message: str, hint: str | None) -> BangerError:
    """The daemon's error as the exception that it was there; a plain BangerError for a code not known here."""
    return _KINDS.get(code, BangerError)(message, hint=hint)


class Client:
    """One connection to the daemon, reused by requests that follow each other. Not for two threads."""

    def __init__(self, connection: socket.socket, paths: StatePaths) -> None:
        self._paths = paths
        self._socket = connection
        self._file = connection.makefile("rb")

    @classmethod
    def open(cls, paths: StatePaths) -> "Client | None":
        """Connect; None if no daemon listens."""
        connection = connect(paths, CONNECT_TIMEOUT_S)
        return cls(connection, paths) if connection else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection: ends a stream that is being read."""
        self._file.close()
        self._socket.close()

    def another(self) -> "Client":
        """A second connection to the same daemon. Raises DaemonError if it is gone."""
        client = Client.open(self._paths)
        if client is None:
            raise DaemonError(f"{self._paths.socket}: the daemon has gone", hint="try again")
        return client

    def get(self, path: str) -> object:
        """GET and return the parsed answer."""
        return self.request("GET", path)

    def post(self, path: str, body: object) -> object:
        """POST a JSON body and return the parsed answer."""
        return self.request("POST", path, body)

    def delete(self, path: str) -> object:
        """DELETE and return the parsed answer."""
        return self.request("DELETE", path)

    def request(self, method: str, path: str, body: object = None, timeout_s: float = REQUEST_TIMEOUT_S) -> object:
        """Do one request. Raises the daemon's error, or DaemonError if the daemon breaks off or breaks the protocol."""
        self._socket.settimeout(timeout_s)
        with _breaking_off():
            status, headers = self._exchange(method, path, body)
            return _parse(b"".join(self._body(headers)), status)

    def stream(self, path: str, timeout_s: float | None = None) -> Generator[dict[str, object]]:
        """GET a stream of JSON lines, on a connection of its own so that other requests can be made meanwhile.

        `timeout_s`: longest silence. The connection is closed when the iterator is.
        """
        with closing(self.another()) as client:
            yield from client.lines(path, timeout_s)

    def lines(self, path: str, timeout_s: float | None = None) -> Iterator[dict[str, object]]:
        """GET a stream of JSON lines on this connection."""
        self._socket.settimeout(timeout_s)
        with _breaking_off():
            status, headers = self._exchange("GET", path, None)
            if status != OK:
                _parse(b"".join(self._body(headers)), status)
            rest = b""
            for chunk in self._body(headers, limit=None):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in whole)

    def duplex(self, path: str, first: bytes) -> tuple[socket.socket, bytes]:
        """POST a body that has begun with `first` and goes on, in chunks, while its answer comes.

        Return the connection, non-blocking, and what has come of the answer's body, in chunks too. This client is of
        no use any more, but to be closed. Raises the daemon's error if it refuses.
        """
        self._socket.settimeout(REQUEST_TIMEOUT_S)
        head = f"POST {path} HTTP/1.1\r\nHost: bangerd\r\nTransfer-Encoding: chunked\r\n\r\n"
        with _breaking_off():
            self._socket.sendall(head.encode("ascii") + chunk(first))
            status, headers = self._answer()
            if status != OK:
                _parse(b"".join(self._body(headers)), status)
                raise ValueError(f"HTTP status {status}")
            self._socket.setblocking(False)
            return self._socket, self._buffered()

    def _buffered(self) -> bytes:
        """What was read of the connection already; the connection does not block."""
        return self._file.peek()

    def _exchange(self, method: str, path: str, body: object) -> tuple[int, dict[str, str]]:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: bangerd\r\nContent-Length: {len(data)}\r\n"
        if data:
            head += "Content-Type: application/json\r\n"
        self._socket.sendall(head.encode("ascii") + b"\r\n" + data)
        return self._answer()

    def _answer(self) -> tuple[int, dict[str, str]]:
        version, status, *_reason = self._line().split(" ")
        if version != "HTTP/1.1":
            raise ValueError(f"not HTTP/1.1: {version[:20]!r}")
        headers: dict[str, str] = {}
        for _ in range(HEADER_LINES):
            line = self._line()
            if not line:
                return int(status), headers
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        raise ValueError("too many header lines")

    def _line(self) -> str:
        line = self._file.readline(LINE_LIMIT_BYTES)
        if not line.endswith(b"\r\n"):
            raise EOFError
        return line[:-2].decode("latin-1")

    def _body(self, headers: dict[str, str], limit: int | None = BODY_LIMIT_BYTES) -> Iterator[bytes]:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            size = int(headers.get("content-length", "0"))
            yield self._exactly(size, limit)
            return
        total = 0
        while size := int(self._line().split(";")[0], 16):
            total += size
            yield self._exactly(size, None if limit is None else limit - total + size)
            self._line()
        while self._line():
            pass

    def _exactly(self, size: int, limit: int | None) -> bytes:
        if limit is not None and size > limit:
            raise ValueError(f"answer longer than {BODY_LIMIT_BYTES} bytes")
        data = self._file.read(size)
        if len(data) != size:
            raise EOFError
        return data


@contextmanager
def _breaking_off() -> Iterator[None]:
    """Turn what a broken connection raises into DaemonError."""
    try:
        yield
    except TimeoutError as error:
        raise DaemonError("the daemon does not answer", hint="banger daemon status") from error
    except (EOFError, ConnectionError) as error:
        raise DaemonError("the daemon went away in the middle of its answer", hint="try again") from error
    except (ValueError, OSError) as error:
        raise DaemonError(f"the daemon's answer is not understood: {error}") from error


def _parse(data: bytes, status: int) -> object:
    value = json.loads(data) if data else None
    if status < FIRST_ERROR:
        return value
    if not isinstance(value, dict) or not isinstance(value.get("message"), str):
        raise DaemonError(f"the daemon answered with HTTP status {status}")
    raise remote_error(str(value.get("code")), value["message"], value.get("hint"))
