"""The values of this library: where packages come from, and which ones, to the byte."""

import re

import msgspec

from banger.model.digest import Digest, digest_of
from banger.model.errors import HostError
from banger.model.handles import File

SUITE = "bookworm"


class Source(msgspec.Struct, frozen=True):
    """One repository: `uri` is its base, without a `/` at the end; `suites` are directories below its `dists/`."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]

    @property
    def security(self) -> bool:
        """Say whether this is the repository of security updates: it has a pool of its own."""
        return any(suite.endswith("-security") for suite in self.suites)


class Archive(msgspec.Struct, frozen=True):
    """Debian's archive as this machine reaches it.

    `keyring` is the path of the file with Debian's keys; `origin` says how the archive was found, for messages.
    """

    sources: tuple[Source, ...]
    suite: str
    architecture: str
    keyring: str
    origin: str


class PackagePin(msgspec.Struct, frozen=True, order=True):
    """One binary package, to the byte. `filename` is its path below the base of a repository; `size` in bytes."""

    name: str
    version: str
    architecture: str
    filename: str
    size: int
    sha256: str
    security: bool


class Release(msgspec.Struct, frozen=True, order=True):
    """The signed index that vouched for the pins: the suite, the date it states, and the sha256 of its InRelease."""

    suite: str
    date: str
    sha256: str


class Lock(msgspec.Struct, frozen=True):
    """The answer of a resolution: the packages in sorted order, and what vouched for them."""

    suite: str
    architecture: str
    packages: tuple[PackagePin, ...]
    releases: tuple[Release, ...]

    def digest(self) -> Digest:
        """Identify the packages by their content alone.

        A new point release, or another mirror, that has the same packages is the same lock: no image is made again.
        """
        rows = [[pin.name, pin.version, pin.architecture, pin.sha256] for pin in self.packages]
        return digest_of("debian.lock", {"suite": self.suite, "architecture": self.architecture, "packages": rows})

    @property
    def size(self) -> int:
        """Return what all packages weigh, in bytes."""
        return sum(pin.size for pin in self.packages)


# Debian Policy 5.6.1 and 5.6.12; a pool path is what dak makes: no part of it begins with a dot.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}\Z")
_VERSION = re.compile(r"(?:\d{1,9}:)?[A-Za-z0-9][A-Za-z0-9.+~-]{0,255}\Z")
_ARCHITECTURE = re.compile(r"[a-z0-9-]{2,32}\Z")
_POOL_PATH = re.compile(r"pool/(?:[A-Za-z0-9+_][A-Za-z0-9+._~-]*/){1,8}[A-Za-z0-9+_][A-Za-z0-9+._~%-]*\.deb\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
PACKAGE_LIMIT_BYTES = 2 * 1024**3


def check_pin(pin: PackagePin) -> PackagePin:
    """Return the pin if each of its fields has its form. Raises HostError that names the package and the field."""
    forms = (
        ("name", _NAME, pin.name),
        ("version", _VERSION, pin.version),
        ("architecture", _ARCHITECTURE, pin.architecture),
        ("path", _POOL_PATH, pin.filename),
        ("sha256", _SHA256, pin.sha256),
    )
    for field, form, text in forms:
        if not form.match(text):
            raise HostError(f"package {pin.name[:80]!r}: its {field} has no valid form: {text[:120]!r}")
    if not 0 < pin.size <= PACKAGE_LIMIT_BYTES:
        raise HostError(f"package {pin.name}: a size of {pin.size} bytes is out of bounds")
    return pin


def hide_credentials(text: str) -> str:
    """Return a text with the user and password of every URI in it replaced."""
    return re.sub(r"(//)[^/@\s'\"]+@", r"\1...@", text)


class PinnedImage(msgspec.Struct, frozen=True):
    """What an image is made of: its packages, and the text of the guest's own /etc/apt/sources.list."""

    lock: Lock
    guest_sources: str


class RootTar(msgspec.Struct, frozen=True):
    """A root filesystem as a tar; `newest` is the latest time in it, in seconds since 1970."""

    tar: File
    newest: int
