"""What `vm ports` makes of what a guest says: each port once, as a link where it serves pages."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import BaseRequestHandler, TCPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from banger.engine.listening import rows
from banger.guest.load import parse_load
from banger.guest.protocol import Listener
from banger.host.web import web_protocol
from banger.model.errors import GuestError

pytestmark = pytest.mark.anyio


class Page(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


class Banner(BaseRequestHandler):
    """Speaks first, and no HTTP."""

    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-none\r\n")


class Deaf(BaseRequestHandler):
    """Takes what comes and never says a word."""

    def handle(self) -> None:
        while self.request.recv(4096):
            pass


@contextmanager
def serving(server: TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class TlsServer(HTTPServer):
    """HTTPS that tells whoever speaks in the clear so, in the clear and in HTTP, as nginx and Go's servers do."""

    context: ssl.SSLContext

    def finish_request(self, request: object, client_address: object) -> None:
        assert not isinstance(request, bytes)
        first = request.recv(1, 2)  # type: ignore[attr-defined]  # MSG_PEEK
        if first != b"\x16":
            request.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")  # type: ignore[attr-defined]
            return
        with self.context.wrap_socket(request, server_side=True) as secured:  # type: ignore[arg-type]
            super().finish_request(secured, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves in the middle is none of ours to report."""


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that nobody has reason to trust."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=9), now - timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    pem, no = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "both").write_bytes(
        certificate.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both")
    return context


@pytest.mark.requirement("CLI-037")
async def test_a_tls_server_that_answers_in_the_clear_too_is_https(tls: ssl.SSLContext) -> None:
    server = TlsServer(("127.0.0.1", 0), Page)
    server.context = tls
    with serving(server) as port:
        assert await web_protocol("127.0.0.1", port) == "https"


@pytest.mark.requirement("AGT-004")
@pytest.mark.parametrize(
    ("make", "protocol"),
    [
        (lambda: HTTPServer(("127.0.0.1", 0), Page), "http"),
        (lambda: TCPServer(("127.0.0.1", 0), Banner), None),
        (lambda: TCPServer(("127.0.0.1", 0), Deaf), None),
    ],
    ids=["http", "banner", "deaf"],
)
async def test_a_page_is_http_and_anything_else_is_not(make: Callable[[], TCPServer], protocol: str | None) -> None:
    with serving(make()) as port:
        assert await web_protocol("127.0.0.1", port) == protocol


async def test_nobody_listening_is_no_web_page() -> None:
    with serving(HTTPServer(("127.0.0.1", 0), Page)) as port:
        pass
    assert await web_protocol("127.0.0.1", port) is None


def listener(address: str, port: int, pid: int = 7) -> Listener:
    return Listener(address=address, port=port, pid=pid, process="p", command="p -x")


@pytest.mark.requirement("CLI-038")
def test_a_port_on_ipv4_and_ipv6_is_one_row() -> None:
    found = rows(
        [listener("::", 80), listener("0.0.0.0", 80), listener("0.0.0.0", 22), listener("127.0.0.1", 80)],
        {80: ("127.77.0.1", 80), 22: ("127.0.0.1", 40022)},
        {80: "http"},
    )
    assert [(one.protocol, one.endpoint, one.note) for one in found] == [
        ("tcp", "127.0.0.1:40022", None),
        ("http", "http://127.77.0.1/", None),
        ("tcp", None, "only inside the VM, at 127.0.0.1:80"),
    ]


def test_a_port_that_could_not_be_had_is_told() -> None:
    (found,) = rows([listener("0.0.0.0", 80)], {}, {})
    assert (found.endpoint, found.note) == (None, "only inside the VM, at 0.0.0.0:80")


def test_an_address_that_is_none_is_not_outside() -> None:
    (found,) = rows([listener("what?", 80)], {80: ("127.77.0.1", 80)}, {})
    assert found.endpoint is None


MEMINFO = "MemTotal:         123 kB\nMemFree:   1 kB\nMemAvailable:      23 kB\n"


def test_load_and_memory_are_read_and_nothing_else_is_believed() -> None:
    use = parse_load(f"0.10 0.20 0.30 1/99 1234\n{MEMINFO}".encode())
    assert (use.load, use.memory_bytes, use.available_bytes) == ([0.1, 0.2, 0.3], 123 << 10, 23 << 10)
    for said in (
        "",
        MEMINFO,
        "0.1 0.2 0.3 ",
        "nan nan nan 1/1 1\n" + MEMINFO,
        "-1.0 0.2 0.3 \n" + MEMINFO,
        "\x00" * 99,
    ):
        with pytest.raises(GuestError):
            parse_load(said.encode())
