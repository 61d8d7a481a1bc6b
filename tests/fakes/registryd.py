"""The real registry, Debian's docker-registry, on loopback: plain, with passwords, with a token service, with TLS."""

import base64
import contextlib
import datetime as dt
import http.client
import json
import re
import socket
import ssl
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.fakes.badserver import BadServer, Reply, Request
from tests.fakes.images import Image, digest

USER, PASSWORD = "alice", "wonderland"
# htpasswd -nbB alice wonderland: the registry takes bcrypt only.
HTPASSWD = "alice:$2b$05$abcdefghijklmnopqrstuuA0vov2GDneHB3.8.cv9UF9g.RdvScIW"


@dataclass(frozen=True)
class Authority:
    """A certificate for localhost, and its key: for TLS, and to sign tokens with."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )


def make_authority() -> Authority:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName("registry.example")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


@dataclass
class TokenService:
    """A token service: anybody may read what is below `public/`, alice everything."""

    authority: Authority
    server: BadServer
    log: list[dict[str, list[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server.on("/token", self.answer)

    def answer(self, request: Request) -> Reply:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        self.log.append(query)
        login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        given = request.headers.get("authorization")
        if given not in {None, login}:
            return Reply(401, b"{}")
        _, name, actions = query["scope"][0].split(":")
        allowed = actions.split(",") if given else ["pull"] if name.startswith("public/") else []
        return Reply(200, json.dumps({"token": self.sign(name, allowed), "expires_in": 60}).encode())

    def sign(self, name: str, actions: list[str]) -> str:
        """A JWT as the registry's `rootcertbundle` verifies it: RS256, with the certificate in it."""
        now = int(time.time())
        der = self.authority.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": "it", "sub": "", "aud": "it", "exp": now + 60, "nbf": now - 10, "iat": now, "jti": str(now),
            "access": [{"type": "repository", "name": name, "actions": actions}],
        }  # fmt: skip
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{_base64(self.authority.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextlib.contextmanager
def registry(root: Path, extra: str = "", tls: bool = False, log: bool = False) -> Iterator[str]:  # noqa: FBT001, FBT002
    """Run a registry that keeps its things below `root`; gives its host with port. `extra` is more configuration.

    `log`: it writes down what it is asked for, for `requests_to`.
    """
    root.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lines = f"{{certificate: {root}/tls.pem, key: {root}/tls.key}}" if tls else ""
    (root / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: {str(not log).lower()}}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {root}/data}}, cache: {{blobdescriptor: inmemory}}}}\n"
        f"http:\n  addr: 127.0.0.1:{port}\n" + (f"  tls: {lines}\n" if tls else "") + extra
    )
    with (root / "log").open("wb") as out:
        process = subprocess.Popen(["docker-registry", "serve", root / "config.yml"], stdout=out, stderr=out)
        try:
            _wait_until_it_listens(port, process, root / "log")
            yield f"localhost:{port}" if tls else f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def requests_to(root: Path) -> list[str]:
    """What a registry below `root` was asked for so far, as METHOD PATH."""
    return re.findall(r'"((?:GET|HEAD|PUT|POST|PATCH) \S+) HTTP/1\.1"', (root / "log").read_text())


def _wait_until_it_listens(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError("the registry does not listen")


def upload(
    host: str, repository: str, image: Image, tag: str, authorization: str = "", tls: ssl.SSLContext | None = None
) -> None:
    """Push an image as the distribution specification says: each blob in one piece, then the manifest."""
    connection = http.client.HTTPSConnection(host, context=tls) if tls else http.client.HTTPConnection(host)
    headers = {"Authorization": authorization} if authorization else {}

    def ask(method: str, path: str, body: bytes = b"", content_type: str = "application/octet-stream") -> str:
        connection.request(method, path, body, {**headers, "Content-Type": content_type})
        answer = connection.getresponse()
        assert answer.status in {201, 202}, (answer.status, answer.read())
        answer.read()
        return answer.getheader("location", "")

    for data in image.blobs.values():
        place = urllib.parse.urlsplit(ask("POST", f"/v2/{repository}/blobs/uploads/"))
        ask("PUT", f"{place.path}?{place.query}&digest={digest(data)}", data)
    ask("PUT", f"/v2/{repository}/manifests/{tag}", image.raw, image.manifest["mediaType"])
    connection.close()
