"""An HTTP server on loopback that does what it is told: also what no decent server does."""

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

Ending = Literal["keep", "close", "reset", "hang"]


@dataclass(frozen=True)
class Request:
    """What a client sent; header names in lower case. `hits`: how often this path was asked for before."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    hits: int


@dataclass(frozen=True)
class Reply:
    """What to answer. `length` None: no Content-Length, and the end of the connection is the end of the body.

    `cut` sends only so many bytes of the body; `drip` sends it byte by byte with so many seconds between; `raw`
    replaces head and body; `ending` is what happens to the connection then.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: str | None = "auto"
    cut: int | None = None
    drip: float = 0.0
    raw: bytes | None = None
    ending: Ending = "keep"

    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Said"]
        if self.length is not None:
            lines.append(f"Content-Length: {len(self.body) if self.length == 'auto' else self.length}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


Handler = Callable[[Request], Reply]


@dataclass
class BadServer:
    """Answers each path (without its query) by its handler; 404 for what has none. `log` has every request."""

    routes: dict[str, Handler] = field(default_factory=dict)
    log: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._stopped = threading.Event()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def on(self, path: str, *handlers: Handler | Reply) -> None:
        """Answer a path with each of these in turn, and with the last for ever."""

        def answer(request: Request) -> Reply:
            chosen = handlers[min(request.hits, len(handlers) - 1)]
            return chosen if isinstance(chosen, Reply) else chosen(request)

        self.routes[path] = answer

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.log if request.path.partition("?")[0] == path]

    def close(self) -> None:
        self._stopped.set()
        with self._lock:
            for connection in [self._listener, *self._open]:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as reader:
            while request := self._read(reader):
                handler = self.routes.get(request.path.partition("?")[0])
                reply = handler(request) if handler else Reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
                if not self._answer(connection, reply):
                    return

    def _read(self, reader: "socket.SocketIO | object") -> Request | None:
        line = reader.readline().decode("latin-1")  # type: ignore[union-attr]
        match = re.match(r"(\S+) (\S+) HTTP", line)
        if not match:
            return None
        headers = {}
        while line := reader.readline().decode("latin-1").strip():  # type: ignore[union-attr]
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", "0")))  # type: ignore[union-attr]
        with self._lock:
            hits = len(self.asked(match[2].partition("?")[0]))
            request = Request(match[1], match[2], headers, body, hits)
            self.log.append(request)
        return request

    def _answer(self, connection: socket.socket, reply: Reply) -> bool:
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        data = reply.raw if reply.raw is not None else (body if reply.drip else reply.head() + body)
        if reply.drip:
            if reply.raw is None:
                connection.sendall(reply.head())
            for byte in data:
                connection.sendall(bytes([byte]))
                if self._stopped.wait(reply.drip):
                    return False
        else:
            connection.sendall(data)
        if reply.ending == "hang":
            self._stopped.wait(30)
        if reply.ending == "reset":
            # Linger of zero: close() sends RST. A moment before, so that the client reads what was sent.
            time.sleep(0.02)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return reply.ending == "keep" and reply.length is not None


def serving(data: bytes, content_type: str = "application/octet-stream", **more: str) -> Handler:
    """Serve bytes as a decent server: with Range, If-Range and an ETag."""
    etag = '"tag"'

    def answer(request: Request) -> Reply:
        headers = (("Content-Type", content_type), ("ETag", etag), *more.items())
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if not match or request.headers.get("if-range", etag) != etag:
            return Reply(200, data, headers)
        start = int(match[1])
        if start >= len(data):
            return Reply(416, b"", headers)
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return Reply(206, data[start:], (*headers, ("Content-Range", span)))

    return answer
