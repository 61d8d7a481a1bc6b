"""Which images there are by name: the catalog beside this code, and one that the user has laid over it.

An entry has one or more sources, to be tried in their order: a bundle, which is an archive as `docker save` makes it,
known to the byte (`sha256`, `size`), with the URLs where it lies; a reference to a registry; or packages of Debian's
signed archive.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

import msgspec

from banger.host.config_file import user_config
from banger.model.errors import NotFoundError, SpecError
from banger.oci.reference import image_name_of, parse_reference
from banger.oci.urls import url_fault

VERSION: Final = 1
CATALOG_LIMIT_BYTES: Final = 4 * 1024**2
_EMBEDDED: Final = Path(__file__).with_name("catalog.json")
_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{1,80}\Z")
_SOURCES_LIMIT: Final = 8
BUNDLE_LIMIT_BYTES: Final = 64 * 1024**3


Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of: a bundle; an image in a registry; packages of Debian, besides those of banger's own image."""

    reference: str | None = None
    packages: tuple[str, ...] | None = None
    sha256: Sha256 | None = None
    size: int | None = None
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As it is shown."""
        return self.reference or (self.urls[0] if self.urls else "Debian's archive")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image of a catalog."""

    name: str
    description: str
    sources: tuple[Source, ...]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    images: tuple[Entry, ...]


def catalog_here() -> dict[str, Entry]:
    """The catalog of this machine's user, by name. Raises SpecError."""
    return load_catalog(user_config().image_catalog)


def load_catalog(own: str | None) -> dict[str, Entry]:
    """The embedded catalog, under the user's own, by name. Raises SpecError that names the file and its mistake."""
    entries = {entry.name: entry for entry in _embedded()}
    if own:
        path = Path(unquote(urlsplit(own).path)) if own.startswith("file:") else Path(own)
        if not path.is_absolute():
            raise SpecError(f"image catalog {own!r}: it must be an absolute path or a file: URL")
        try:
            with path.open("rb") as file:
                raw = file.read(CATALOG_LIMIT_BYTES + 1)
        except OSError as error:
            raise SpecError(f"image catalog {path}: {error.strerror}", hint="banger config show") from error
        entries |= {entry.name: entry for entry in read_catalog(raw, str(path))}
    return entries


@cache
def _embedded() -> tuple[Entry, ...]:
    return read_catalog(_EMBEDDED.read_bytes(), _EMBEDDED.name)


def read_catalog(raw: bytes, what: str) -> tuple[Entry, ...]:
    """Read a catalog. Raises SpecError."""
    if len(raw) > CATALOG_LIMIT_BYTES:
        raise SpecError(f"image catalog {what}: longer than {CATALOG_LIMIT_BYTES} bytes")
    try:
        document = msgspec.json.decode(raw, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SpecError(f"image catalog {what}: {error}") from error
    if document.version != VERSION:
        raise SpecError(f"image catalog {what}: version {document.version}; this banger reads {VERSION}")
    names = [entry.name for entry in document.images]
    for entry in document.images:
        reason = "there twice" if names.count(entry.name) > 1 else _fault(entry)
        if reason is not None:
            raise SpecError(f"image catalog {what}: {entry.name[:80]!r}: {reason}")
    return document.images


def _fault(entry: Entry) -> str | None:
    """What is wrong with an entry, or None."""
    if image_name_of(entry.name) != entry.name:
        return "not a name that an image can have"
    if not 0 < len(entry.sources) <= _SOURCES_LIMIT:
        return f"has {len(entry.sources)} sources; 1 to {_SOURCES_LIMIT} can be tried"
    return next((fault for source in entry.sources if (fault := _source_fault(source))), None)


def _source_fault(source: Source) -> str | None:
    kinds = (source.reference is not None, source.packages is not None, source.sha256 is not None)
    if sum(kinds) != 1:
        return "a source has a reference, or packages, or a sha256"
    if source.reference is not None:
        try:
            parse_reference(source.reference)
        except SpecError as error:
            return error.message
    if source.sha256 is not None:
        return _bundle_fault(source)
    wrong = (name for name in source.packages or () if not _PACKAGE.match(name))
    return next((f"{name[:80]!r} is no package's name" for name in wrong), None)


def _bundle_fault(source: Source) -> str | None:
    if source.size is None or not 0 < source.size <= BUNDLE_LIMIT_BYTES or not source.urls:
        return "a bundle has a size and urls"
    return next((fault for url in source.urls if (fault := url_fault(url))), None)


def places_of(digest: str, catalog: Mapping[str, Entry]) -> tuple[str, ...]:
    """Where a bundle can be had. Raises NotFoundError if the catalog does not have it any more."""
    sources = (source for entry in catalog.values() for source in entry.sources)
    found = [url for source in sources if f"sha256:{source.sha256}" == digest for url in source.urls]
    if not found:
        raise NotFoundError(f"the image bundle {digest[:19]} is in no catalog any more", hint="banger image list")
    return tuple(dict.fromkeys(found))
