"""Credentials that the user already has, in the files that docker, podman and skopeo write.

Sources: containers-auth.json(5); Docker CLI `cli/config/configfile`. banger only reads them. Looked at in this order:
`$REGISTRY_AUTH_FILE`, or, if it is not set, `$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`
and `~/.docker/config.json` (`$DOCKER_CONFIG`). In a file: the helper of the registry, the entries, the store.
"""

import base64
import binascii
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from banger.model.errors import SpecError
from banger.oci.document import read_document, shape
from banger.oci.errors import ContentError
from banger.oci.reference import DEFAULT_REGISTRY, DEFAULT_REGISTRY_ALIASES
from banger.oci.watch import Stop

_FILE_LIMIT_BYTES = 1024 * 1024
_DEFAULT_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"  # noqa: S105 - by which a helper says that its secret is an identity token


@dataclass(frozen=True, slots=True)
class Credential:
    """A name and its secret. `kind`: a password, an identity token to be exchanged, or a token to be sent as it is."""

    username: str = field(repr=False)
    secret: str = field(repr=False)
    kind: Literal["password", "identity", "bearer"] = "password"

    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.secret}".encode()).decode("ascii")


class Credentials(Protocol):
    """Where credentials come from. Called from worker threads."""

    def find(self, registry: str, repository: str, stop: Stop) -> Credential | None:
        """The credential for a repository of a registry (host with port), if there is one. Raises BangerError."""


class NoCredentials:
    """Nobody has any."""

    def find(self, registry: str, repository: str, stop: Stop) -> Credential | None:
        """None."""
        return None


AskHelper = Callable[[str, str, Stop], Credential | None]
"""Ask the credential helper of a name for a server: `banger.oci.helper`, from a worker thread."""


class _Entry(msgspec.Struct, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class _File(msgspec.Struct, frozen=True):
    auths: dict[str, _Entry] | None = None
    store: str = msgspec.field(default="", name="credsStore")
    helpers: dict[str, str] | None = msgspec.field(default=None, name="credHelpers")


class FileCredentials:
    """Credentials from the user's own files and helpers, read when they are asked for and not kept."""

    def __init__(self, environ: Mapping[str, str], ask: AskHelper) -> None:
        self._environ = environ
        self._ask = ask

    def find(self, registry: str, repository: str, stop: Stop) -> Credential | None:
        """The first that any file has. Raises SpecError for a file that cannot be read: it is named, not quoted."""
        for path in auth_files(self._environ):
            file = _read(path)
            if file is not None and (credential := self._in_file(file, path, registry, repository, stop)):
                return credential
        return None

    def _in_file(self, file: _File, path: Path, registry: str, repository: str, stop: Stop) -> Credential | None:
        servers = _server_names(registry)
        for server in servers:
            if helper := (file.helpers or {}).get(server):
                return self._ask(helper, server, stop)
        entries = file.auths or {}
        for key in _keys(registry, repository):
            for name, entry in entries.items():
                # An empty entry says that the store has it.
                if name_of_entry(name) == key and (credential := _of_entry(entry, path, name)):
                    return credential
        if file.store:
            for server in servers:
                if credential := self._ask(file.store, server, stop):
                    return credential
        return None


def auth_files(environ: Mapping[str, str]) -> list[Path]:
    """The files to look at, best first."""
    if explicit := environ.get("REGISTRY_AUTH_FILE"):
        return [Path(explicit)]
    found = []
    home = environ.get("HOME", "")
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(runtime) / "containers" / "auth.json")
    if config := environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config"):
        found.append(Path(config) / "containers" / "auth.json")
    if docker := environ.get("DOCKER_CONFIG") or (home and f"{home}/.docker"):
        found.append(Path(docker) / "config.json")
    return found


def name_of_entry(key: str) -> str:
    """What a key of `auths` is for: a host, or a host and a path. Docker writes URLs, with `/v1/` or `/v2/` behind."""
    bare = key.removeprefix("https://").removeprefix("http://")
    host, slash, path = bare.partition("/")
    if key != bare or path.strip("/") in {"v1", "v2"}:
        path, slash = "", ""
    host = DEFAULT_REGISTRY if host in DEFAULT_REGISTRY_ALIASES else host
    return f"{host}{slash}{path}".rstrip("/")


def _keys(registry: str, repository: str) -> Iterator[str]:
    """Most specific first: host/a/b, host/a, host (containers-auth.json(5))."""
    registry = DEFAULT_REGISTRY if registry in DEFAULT_REGISTRY_ALIASES else registry
    path = repository
    while path:
        yield f"{registry}/{path}"
        path = path.rpartition("/")[0]
    yield registry


def _server_names(registry: str) -> tuple[str, ...]:
    """What helpers know a registry by."""
    if registry == DEFAULT_REGISTRY or registry in DEFAULT_REGISTRY_ALIASES:
        return (_DEFAULT_KEY, DEFAULT_REGISTRY)
    return (registry,)


def _of_entry(entry: _Entry, path: Path, name: str) -> Credential | None:
    if entry.registrytoken:
        return Credential("", entry.registrytoken, "bearer")
    username, password = entry.username, entry.password
    if entry.auth:
        try:
            text = base64.b64decode(entry.auth, validate=True).decode("utf-8").rstrip("\0")
        except (binascii.Error, ValueError):
            raise SpecError(f"{path}: the entry for {name!r} is damaged", hint="log in to the registry again") from None
        username, _colon, password = text.partition(":")
    if entry.identitytoken:
        return Credential(username, entry.identitytoken, "identity")
    return Credential(username, password) if username or password else None


def of_helper(username: str, secret: str) -> Credential | None:
    """What a helper's answer means."""
    if not secret:
        return None
    return Credential("", secret, "identity") if username == _TOKEN_USER else Credential(username, secret)


def _read(path: Path) -> _File | None:
    try:
        # Not blocking: the file could be a FIFO.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    with os.fdopen(fd, "rb") as file:
        try:
            raw = file.read(_FILE_LIMIT_BYTES + 1)
        except OSError as error:
            raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    if not raw or raw.isspace():
        return None
    try:
        return shape(read_document(raw, str(path), _FILE_LIMIT_BYTES), _File, str(path))
    except ContentError:
        # Not the reader's words: they might quote the file.
        raise SpecError(f"{path}: is not a file of registry credentials", hint="log in to the registry again") from None
