"""Which kernels there are by name: the catalog beside this code, and one that the user has laid over it.

An entry is either a metapackage of Debian's signed archive (`package`) or a bundle, to the byte (`sha256`, `size`) with
the URLs where it lies. Trust is in the catalog: a bundle that is not what its sha256 says is not used, whoever sent it.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

import msgspec

from banger.model.errors import NotFoundError, SpecError
from banger.model.kernel import check_kernel_name
from banger.model.kernel_source import BundleKernel, DebianKernel, KernelChoice
from banger.oci.urls import url_fault

VARIABLE: Final = "BANGER_KERNEL_CATALOG"
"""A file with a catalog of the user's own, as a path or `file:` URL: its entries go before the embedded ones."""
ARCHITECTURE: Final = "x86_64"
VERSION: Final = 1
CATALOG_LIMIT_BYTES: Final = 4 * 1024**2
BUNDLE_LIMIT_BYTES: Final = 4 * 1024**3
_EMBEDDED: Final = Path(__file__).with_name("catalog.json")
_PACKAGE: Final = re.compile(r"linux-image-[a-z0-9][a-z0-9.+-]{1,80}\Z")

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kernel of a catalog. `urls` are tried in their order; `size` in bytes."""

    name: str
    arch: str
    kernel_version: str
    distro: str = ""
    description: str = ""
    package: str | None = None
    sha256: Sha256 | None = None
    size: int | None = None
    url: str | None = None
    urls: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Every URL of the bundle."""
        return tuple(dict.fromkeys([*([self.url] if self.url else []), *self.urls]))

    def choice(self) -> KernelChoice:
        """The kernel as a plan wants it."""
        if self.package is not None:
            return KernelChoice(self.name, DebianKernel(self.package))
        assert self.sha256 is not None, "checked when it was read"
        assert self.size is not None, "checked when it was read"
        return KernelChoice(self.name, BundleKernel(self.sha256, self.size))


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    kernels: tuple[Entry, ...]


class Catalog:
    """Kernels by name."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(sorted(entries.items()))

    def all(self) -> list[Entry]:
        """Every entry, by name."""
        return list(self._entries.values())

    def get(self, name: str) -> Entry | None:
        """One entry, or None."""
        return self._entries.get(name)

    def places(self, sha256: str) -> tuple[str, ...]:
        """Where a bundle can be had. Raises NotFoundError if the catalog does not have it any more."""
        found = [place for entry in self._entries.values() if entry.sha256 == sha256 for place in entry.places]
        if not found:
            raise NotFoundError(f"the kernel bundle {sha256[:12]} is in no catalog any more", hint="banger kernel list")
        return tuple(dict.fromkeys(found))


def load_catalog(environ: Mapping[str, str]) -> Catalog:
    """The embedded catalog, under the user's own. Raises SpecError that names the file and what is wrong in it."""
    entries = {entry.name: entry for entry in _embedded()}
    own = environ.get(VARIABLE)
    if own:
        path = Path(unquote(urlsplit(own).path)) if own.startswith("file:") else Path(own)
        if not path.is_absolute():
            raise SpecError(f"{VARIABLE} is {own!r}: it must be an absolute path or a file: URL")
        try:
            with path.open("rb") as file:
                raw = file.read(CATALOG_LIMIT_BYTES + 1)
        except OSError as error:
            raise SpecError(f"kernel catalog {path}: {error.strerror}", hint=f"unset {VARIABLE}") from error
        entries |= {entry.name: entry for entry in read_catalog(raw, str(path))}
    return Catalog(entries)


@cache
def _embedded() -> tuple[Entry, ...]:
    return read_catalog(_EMBEDDED.read_bytes(), _EMBEDDED.name)


def read_catalog(raw: bytes, what: str) -> tuple[Entry, ...]:
    """Read a catalog. Raises SpecError."""
    if len(raw) > CATALOG_LIMIT_BYTES:
        raise SpecError(f"kernel catalog {what}: longer than {CATALOG_LIMIT_BYTES} bytes")
    try:
        document = msgspec.json.decode(raw, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SpecError(f"kernel catalog {what}: {error}") from error
    if document.version != VERSION:
        raise SpecError(f"kernel catalog {what}: version {document.version}; this banger reads {VERSION}")
    names = [entry.name for entry in document.kernels]
    for entry in document.kernels:
        if reason := _fault(entry, names):
            raise SpecError(f"kernel catalog {what}: {entry.name[:80]!r}: {reason}")
    return document.kernels


def _fault(entry: Entry, names: list[str]) -> str | None:
    """What is wrong with an entry, or None."""
    try:
        check_kernel_name(entry.name)
    except SpecError:
        return "not a name that a kernel can have"
    if names.count(entry.name) > 1:
        return "there twice"
    if entry.arch != ARCHITECTURE:
        return f"built for {entry.arch[:40]}; VMs need {ARCHITECTURE}"
    return _bundle_fault(entry) if entry.package is None else _package_fault(entry, entry.package)


def _package_fault(entry: Entry, package: str) -> str | None:
    if entry.places or entry.sha256 or entry.size:
        return "a Debian package has no sha256, size or url of its own: the archive's signature is what counts"
    return None if _PACKAGE.match(package) else "no name of a kernel package"


def _bundle_fault(entry: Entry) -> str | None:
    if entry.sha256 is None or entry.size is None or not entry.places:
        return "needs package, or sha256, size and url"
    if not 0 < entry.size <= BUNDLE_LIMIT_BYTES:
        return f"a size of {entry.size} bytes is out of bounds"
    return next((reason for place in entry.places if (reason := url_fault(place))), None)
