"""The proxy that this machine's user has set in the environment, as curl and Docker read it."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from banger.model.errors import SpecError
from banger.oci.urls import Origin


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: `url` without user and password, which are apart so that no message shows them."""

    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """Find the proxy for an origin, if any. This machine is never reached through one. Raises SpecError."""
    if origin.is_loopback:
        return None
    if any(_covers(entry.strip().lower(), origin) for entry in _value(environ, "no_proxy").split(",")):
        return None
    text = _value(environ, f"{origin.scheme}_proxy") or _value(environ, "all_proxy")
    if not text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, None
    if parts is None or not host or parts.scheme not in {"http", "https"}:
        raise SpecError(f"{origin.scheme}_proxy is not the URL of an http proxy", hint=f"unset {origin.scheme}_proxy")
    host = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    return Proxy(url, unquote(parts.username or ""), unquote(parts.password or ""))


def _value(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def _covers(entry: str, origin: Origin) -> bool:
    """Whether an entry of `no_proxy` means an origin: `*`, a network, a domain and all below it; maybe a port."""
    if entry == "*":
        return True
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and "]" not in port and name.count(":") == 0:
        if int(port[:6]) != origin.port:
            return False
        entry = name
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        domain = entry.removeprefix("*").lstrip(".")
        return bool(domain) and (origin.host == domain or origin.host.endswith(f".{domain}"))
