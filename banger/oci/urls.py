"""Where requests may go: https anywhere, plain http on this machine only, and no way from outside to inside."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from banger.model.errors import SpecError
from banger.oci.errors import RegistryError, shown

_PORTS = {"http": 80, "https": 443}
_LIMIT_CHARS = 8192
_URL = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what a credential is for."""

    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Say whether this is the machine itself, by its name or address."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        """As the beginning of a URL; the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine: localhost, 127.0.0.0/8 and ::1. Nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(url: str) -> Origin:
    """Read the origin of an absolute URL. Raises RegistryError for what is not one, or holds a password."""
    parts, port = _split(url)
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.hostname:
        raise RegistryError(f"{_bare(url)}: neither http nor https")
    if parts.username is not None or parts.password is not None:
        raise RegistryError(f"a URL at {parts.hostname} holds a user name or password: not used")
    return Origin(scheme, parts.hostname, port or _PORTS[scheme])


def _split(url: str) -> tuple[SplitResult, int | None]:
    if len(url) > _LIMIT_CHARS or not _URL.match(url):
        raise RegistryError(f"{_bare(url)}: not a URL")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RegistryError(f"{_bare(url)}: not a URL") from None
    return parts, port


def _bare(url: str) -> str:
    """A URL for a message: what stands behind the `?` of a URL that a registry signed is a secret."""
    return shown(url.partition("?")[0])


def check_step(source: Origin, target: Origin) -> None:
    """Allow or refuse that an answer of `source` sends us to `target`. Raises RegistryError.

    From outside nobody may point at this machine: its services believe whoever can reach them. And what began with
    TLS does not go on without.
    """
    if target.scheme == "http" and not (target.is_loopback and source.is_loopback):
        raise RegistryError(f"{source} points to {target}: not followed without TLS")
    if target.is_loopback and not source.is_loopback:
        raise RegistryError(f"{source} points to {target}, which is this machine: not followed")


def follow(base: str, location: str) -> str:
    """The URL of a redirect. Raises RegistryError for one that may not be followed."""
    if not _URL.match(location):
        raise RegistryError(f"{origin_of(base)} points to {_bare(location)}: not a URL")
    try:
        target = urljoin(base, location)
    except ValueError:
        raise RegistryError(f"{origin_of(base)} points to {_bare(location)}: not a URL") from None
    check_step(origin_of(base), origin_of(target))
    return target.partition("#")[0]


def registry_base(host: str) -> str:
    """The base URL of a registry by its name in a reference: plain http on this machine, https elsewhere."""
    name = host.rpartition(":")[0] if re.search(r":[0-9]+\Z", host) else host
    return f"{'http' if is_loopback(name.strip('[]')) else 'https'}://{host}"


def mirror_base(url: str) -> str:
    """Check the base URL of a mirror from the settings, and drop a slash at its end. Raises SpecError."""
    try:
        origin = origin_of(url)
    except RegistryError as error:
        raise SpecError(f"mirror {error.message}") from None
    if origin.scheme == "http" and not origin.is_loopback:
        raise SpecError(f"mirror {url}: plain http only on this machine", hint="use https://")
    if "?" in url or "#" in url:
        raise SpecError(f"mirror {url}: a base URL has no query")
    return url.rstrip("/")


def url_fault(url: str) -> str | None:
    """What is wrong with the place of a bundle in a catalog, or None: `https:`, `file:`, or this machine's `http:`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "not a URL"
    if parts.username or parts.password:
        return "its URL holds a user name or password"
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return None
    if parts.scheme == "https" or (parts.scheme == "http" and local):
        return None
    return f"{url[:120]!r} is neither https: nor file:"
