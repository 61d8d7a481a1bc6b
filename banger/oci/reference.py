"""Names of images in registries, as Docker's users write them.

Source: the grammar in `reference/reference.go` of github.com/distribution/reference (2.8), and its `normalize.go`:

    reference := name [ ":" tag ] [ "@" digest ]        name := [ host [ ":" port ] "/" ] component { "/" component }

A tag and a digest together are allowed: the digest decides, the tag is only for the reader.
"""

import re
from dataclasses import dataclass

from banger.model.digest import Digest, parse_digest
from banger.model.errors import SpecError
from banger.oci.errors import shown

DEFAULT_REGISTRY = "docker.io"
"""Whose image `debian` is, because every user of such tools expects it. This is the one place that says so."""

DEFAULT_REGISTRY_HOST = "registry-1.docker.io"
"""The host that answers for the default registry."""

DEFAULT_REGISTRY_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io"})
"""Other hosts by which users and their credential files name the default registry."""

_DEFAULT_NAMESPACE = "library"
_DEFAULT_TAG = "latest"
_NAME_LIMIT = 255
_TEXT_LIMIT = 1024
_IMAGE_NAME_LIMIT = 63

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::(?P<port>[0-9]+))?\Z")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_BARE_ID = re.compile(r"[0-9a-f]{64}\Z")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Reference:
    """One image of a registry. `registry` is a host with its port, if it has one; `repository` the path there."""

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None

    def __str__(self) -> str:
        """The full form, which parses to the same value."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def wanted(self) -> str:
        """What to ask the registry for: the digest if there is one, else the tag."""
        return self.digest or self.tag or _DEFAULT_TAG

    @property
    def image_name(self) -> str:
        """The name that banger gives to the image when the user gives none: `debian-bookworm` for `debian:bookworm`."""
        last = self.repository.rpartition("/")[2]
        ending = self.tag or (self.digest or "").removeprefix("sha256:")[:12]
        return image_name_of(f"{last}-{ending}")


def image_name_of(text: str) -> str:
    """A text as the name of an image: lower-case letters, digits and `-`, at most 63 of them."""
    return _NOT_IN_A_NAME.sub("-", text.lower()).strip("-")[:_IMAGE_NAME_LIMIT].rstrip("-") or "image"


def parse_reference(text: str) -> Reference:
    """Read a reference and fill in what users leave out. Raises SpecError that says which part is wrong."""
    if not text or len(text) > _TEXT_LIMIT:
        raise _wrong(text, "it is empty" if not text else f"it is longer than {_TEXT_LIMIT} characters")
    if _BARE_ID.match(text):
        raise _wrong(text, "64 hexadecimal digits are an image id, which no registry knows", hint="use NAME@sha256:...")
    rest, at, digest_text = text.partition("@")
    digest = _digest(text, digest_text) if at else None
    registry, remainder = _split_registry(rest)
    repository, colon, tag = remainder.partition(":")
    if colon and not _TAG.match(tag):
        raise _wrong(text, f"the tag {shown(tag)} has a form that no registry accepts")
    if not colon and digest is None:
        tag = _DEFAULT_TAG
    _check_registry(text, registry)
    _check_repository(text, repository)
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"{_DEFAULT_NAMESPACE}/{repository}"
    if len(registry) + 1 + len(repository) > _NAME_LIMIT:
        raise _wrong(text, f"the name is longer than {_NAME_LIMIT} characters")
    return Reference(registry, repository, tag or None, digest)


def _split_registry(text: str) -> tuple[str, str]:
    """`a/b` is of the default registry unless `a` can only be a host: with a dot, colon or capital; or localhost."""
    first, slash, remainder = text.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost" or first.lower() != first)
    if not is_host:
        return DEFAULT_REGISTRY, text
    return (DEFAULT_REGISTRY if first == "index.docker.io" else first), remainder


def _check_registry(text: str, registry: str) -> None:
    match = _HOST.match(registry)
    if not match:
        raise _wrong(text, f"{shown(registry)} is not the name of a host")
    port = match["port"]
    if port is not None and not 0 < int(port[:6]) <= 65535:  # noqa: PLR2004 - the ports of TCP
        raise _wrong(text, f"{shown(port)} is not a port")


def _check_repository(text: str, repository: str) -> None:
    if _PATH.match(repository):
        return
    if repository.lower() != repository and _PATH.match(repository.lower()):
        raise _wrong(text, "the name of a repository is in lower case", hint=f"use {repository.lower()}")
    raise _wrong(text, f"{shown(repository)} is not the name of a repository")


def _digest(text: str, digest: str) -> Digest:
    try:
        return parse_digest(digest)
    except ValueError:
        raise _wrong(text, f"{shown(digest)} is not sha256: and 64 lower-case hexadecimal digits") from None


def _wrong(text: str, reason: str, hint: str | None = None) -> SpecError:
    return SpecError(f"{shown(text)} does not name an image: {reason}", hint=hint)
