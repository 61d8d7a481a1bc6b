"""Pulls through a proxy: a tunnel to a registry whose name only the proxy can look up."""

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from banger.host.clock import SystemClock
from banger.model.errors import SpecError, TransientError
from banger.oci import BlobDir, RegistrySettings, open_source
from banger.oci.limits import Patience
from banger.oci.proxies import Proxy, proxy_for
from banger.oci.urls import Origin, origin_of
from tests.fakes.images import make_image
from tests.fakes.registryd import make_authority, registry, upload

pytestmark = pytest.mark.anyio
IMAGE = make_image((300_000,))
NAME = "registry.example"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Tunnel:
    """Answers CONNECT, and carries everything to one place on this machine. `heads` has what was asked."""

    target: str
    heads: list[str] = field(default_factory=list)
    carried: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._carry, args=(self.listener.accept()[0],), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.heads.append(head.decode())
        name, port = self.target.rsplit(":", 1)
        with contextlib.suppress(OSError), client, socket.create_connection((name, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._pour, args=(server, client), daemon=True)
            back.start()
            self._pour(client, server)
            back.join()

    def _pour(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.carried.append(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tunnel]:
    authority, root = make_authority(), tmp_path / "registry"
    root.mkdir()
    (root / "tls.pem").write_bytes(authority.pem)
    (root / "tls.key").write_bytes(authority.key_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(root / "tls.pem"))
    with registry(root, tls=True) as host:
        upload(host, "team/app", IMAGE, "1", tls=ssl.create_default_context(cafile=str(root / "tls.pem")))
        tunnel = Tunnel(host.replace("localhost", "127.0.0.1"))
        yield tunnel
        tunnel.listener.close()


async def test_a_registry_is_reached_through_the_proxy_of_the_environment(tunnel: Tunnel, tmp_path: Path) -> None:
    environ = {"https_proxy": f"http://bob:p%40ss@{tunnel.host}"}
    source = open_source(f"{NAME}/team/app:1", RegistrySettings(environ=environ), SystemClock())
    image = await source.resolve()
    (path,) = await source.fetch(image.layers, BlobDir(tmp_path / "blobs"))
    assert path.read_bytes() == IMAGE.layers[0]
    login = base64.b64encode(b"bob:p@ss").decode()
    assert tunnel.heads
    assert all(head.startswith(f"CONNECT {NAME}:443 HTTP/1.") for head in tunnel.heads)
    assert all(f"basic {login}" in head.lower().replace(login.lower(), login) for head in tunnel.heads)


async def test_a_proxy_that_is_not_there_is_a_fault_that_may_pass() -> None:
    environ = {"HTTPS_PROXY": "http://bob:secret@127.0.0.1:1"}
    settings = RegistrySettings(environ=environ, patience=Patience(tries=2, backoff_s=0.01))
    with pytest.raises(TransientError) as failure:
        await open_source(f"{NAME}/team/app:1", settings, SystemClock()).resolve()
    assert "secret" not in f"{failure.value!r}"


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("*", True),
        ("example", True),
        (".example", True),
        ("registry.example", True),
        ("*.example", True),
        ("REGISTRY.example:443", True),
        ("registry.example:80", False),
        ("gistry.example", False),
        ("other, registry.example", True),
        ("192.0.2.0/24", False),
        (",,", False),
    ],
)
async def test_no_proxy_says_who_is_reached_directly(no_proxy: str, direct: bool) -> None:  # noqa: FBT001
    found = proxy_for(origin_of(f"https://{NAME}"), {"all_proxy": "proxy:3128", "no_proxy": no_proxy})
    assert found == (None if direct else Proxy("http://proxy:3128"))


async def test_networks_in_no_proxy_and_this_machine_are_reached_directly() -> None:
    environ = {"http_proxy": "http://p", "https_proxy": "http://p", "no_proxy": "192.0.2.0/24,2001:db8::/32"}
    assert proxy_for(Origin("https", "192.0.2.7", 443), environ) is None
    assert proxy_for(Origin("https", "2001:db8::7", 443), environ) is None
    assert proxy_for(Origin("http", "127.0.0.1", 5000), environ) is None
    assert proxy_for(Origin("https", "192.0.3.7", 443), environ) is not None


@pytest.mark.parametrize("url", ["socks5://h:1", "http://", "http://h:x", "http://[::1", "ftp://h"])
async def test_a_proxy_that_is_none_is_said_without_its_password(url: str) -> None:
    with pytest.raises(SpecError, match="https_proxy") as failure:
        proxy_for(origin_of(f"https://{NAME}"), {"https_proxy": url})
    assert url not in failure.value.message
    assert "secret" not in repr(Proxy("http://h", "secret", "secret"))
