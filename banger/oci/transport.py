"""HTTP requests of one thread: redirects by our rule, credentials to one origin only, every wait watched."""

import ssl
from collections.abc import Callable, Mapping
from typing import Self

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, make_headers
from urllib3.exceptions import HTTPError, InvalidHeader, LocationValueError, SSLError

from banger.model.errors import DeadlineError, TransientError
from banger.oci.errors import RegistryError, shown
from banger.oci.proxies import Proxy, proxy_for
from banger.oci.sockets import connection_pools
from banger.oci.urls import Origin, follow, origin_of
from banger.oci.watch import Watch

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DRAIN_BYTES = 64 * 1024
_AGENT = "banger"


class Answer:
    """The head of an answer, and its body to be read. Close it; a body read to its end frees the connection."""

    def __init__(self, response: BaseHTTPResponse, origin: Origin, watch: Watch) -> None:
        self._response = response
        self._watch = watch
        self.origin = origin
        self.status = response.status

    def header(self, name: str) -> str:
        """One header; empty if it is not there. Several of one name are joined by commas."""
        return self._response.headers.get(name, "")

    def headers(self, name: str) -> list[str]:
        """Every header of a name."""
        return self._response.headers.getlist(name)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; empty at the end. Raises TransientError for a cut, DeadlineError, StoppedError."""
        try:
            return self._response.read1(size)
        except (HTTPError, OSError, ValueError) as error:
            # ValueError: http.client and a chunk of a negative size.
            raise _fault(self.origin, error) from None
        except (DeadlineError, TransientError) as error:
            raise type(error)(f"{self.origin}: {error.message}") from None

    def read_all(self, limit_bytes: int, what: str) -> bytes:
        """The whole body of a small answer. Raises RegistryError if it is longer than the limit."""
        self._watch.expect_within(self._watch.patience.document_s)
        parts: list[bytes] = []
        left = limit_bytes + 1
        while left and (part := self.read(left)):
            parts.append(part)
            left -= len(part)
        if not left:
            raise RegistryError(f"{what}: {self.origin} sends more than {limit_bytes} bytes")
        self.close()
        return b"".join(parts)

    def read_some(self, limit_bytes: int) -> bytes:
        """The beginning of a small answer: the body of an error."""
        self._watch.expect_within(self._watch.patience.head_s)
        return self.read(limit_bytes)

    def drop(self) -> None:
        """Throw the rest away: if it is short by reading it, so that the connection can be used again."""
        try:
            length = self.header("content-length")
            if self.status == 204 or (length.isdecimal() and int(length) <= _DRAIN_BYTES):  # noqa: PLR2004 - no content
                self._watch.expect_within(self._watch.patience.head_s)
                self.read(_DRAIN_BYTES)
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else hang up."""
        if self._response.length_remaining == 0:
            self._response.release_conn()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class Transport:
    """The connections of one thread."""

    def __init__(self, watch: Watch, tls: Callable[[], ssl.SSLContext], environ: Mapping[str, str]) -> None:
        self.watch = watch
        self._tls = tls
        self._environ = environ
        self._managers: dict[tuple[str, Proxy | None], PoolManager] = {}

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        authorization: str | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request and return the answer's head, after at most `redirects` redirects of a GET.

        `authorization` goes to the origin of `url`, and from the first step to another origin to nobody.
        Raises TransientError, DeadlineError, StoppedError, and RegistryError for a redirect that is not followed.
        """
        first = origin_of(url)
        for _ in range(self.watch.patience.redirects + 1):
            origin = origin_of(url)
            if origin != first:
                authorization = None
            answer = self._send(method, url, origin, _all_headers(headers, authorization), body)
            if answer.status not in _REDIRECTS or method != "GET":
                return answer
            location = answer.header("location")
            answer.drop()
            if not location:
                raise RegistryError(f"{origin} answers {answer.status} and does not say where to go")
            url = follow(url, location)
        raise RegistryError(f"{first} points elsewhere more than {self.watch.patience.redirects} times")

    def close(self) -> None:
        """Hang up everywhere."""
        for manager in self._managers.values():
            # `clear` forgets pools; it leaves closing their connections to the garbage collector.
            for key in list(manager.pools.keys()):
                if (pool := manager.pools.get(key)) is not None:
                    pool.close()
            manager.clear()

    def _send(self, method: str, url: str, origin: Origin, headers: Mapping[str, str], body: bytes | None) -> Answer:
        self.watch.stop.check()
        self.watch.expect_within(self.watch.patience.head_s)
        try:
            response = self._manager(origin.scheme, proxy_for(origin, self._environ)).urlopen(
                method,
                url,
                headers=headers,
                body=body,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise _fault(origin, error) from None
        except DeadlineError as error:
            raise DeadlineError(f"{origin}: {error.message}") from None
        encoding = response.headers.get("content-encoding", "identity")
        if encoding not in {"", "identity"}:
            response.close()
            raise RegistryError(f"{origin} sends content in the encoding {shown(encoding)}, which nobody asked for")
        return Answer(response, origin, self.watch)

    def _manager(self, scheme: str, proxy: Proxy | None) -> PoolManager:
        manager = self._managers.get((scheme, proxy))
        if manager is None:
            # Reading the machine's authorities takes longer than many a pull from this machine.
            tls = self._tls() if scheme == "https" or proxy else None
            if proxy is None:
                manager = PoolManager(maxsize=1, ssl_context=tls)
            else:
                login = f"{proxy.user}:{proxy.password}" if proxy.user else None
                proxy_headers = make_headers(proxy_basic_auth=login)
                manager = ProxyManager(proxy.url, maxsize=1, ssl_context=tls, proxy_headers=proxy_headers)
            plain, secure = connection_pools(self.watch)
            manager.pool_classes_by_scheme = {"http": plain, "https": secure}
            self._managers[scheme, proxy] = manager
        return manager


def _all_headers(headers: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    own = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
    if authorization:
        own["Authorization"] = authorization
    return own


def _fault(origin: Origin, error: Exception) -> RegistryError | TransientError:
    """Say what went wrong in a transfer, without the URL, which may hold a signature."""
    cause: BaseException = error
    while isinstance(cause, HTTPError) and cause.args and isinstance(cause.args[-1], Exception):
        cause = cause.args[-1]
    if isinstance(cause, ssl.SSLCertVerificationError):
        return RegistryError(
            f"{origin}: its certificate is not valid: {shown(cause.verify_message)}",
            hint="if it is your own registry, name its authority in SSL_CERT_FILE",
        )
    if isinstance(error, SSLError) or isinstance(cause, ssl.SSLError):
        return TransientError(f"{origin}: TLS failed: {shown(getattr(cause, 'reason', None) or type(cause).__name__)}")
    if isinstance(error, (InvalidHeader, LocationValueError)):
        return RegistryError(f"{origin}: its answer is not HTTP: {shown(type(error).__name__)}")
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause).__name__
    return TransientError(f"{origin}: the connection failed: {shown(reason)}")
