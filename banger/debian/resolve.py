"""Ask Debian's archive which packages a system is made of, and pin each of them by sha256.

apt does the solving, in a private root where nothing is installed. Trust comes from Debian's signature on the InRelease
file, through the sha256 of the package index, to the sha256 of each package: a mirror can withhold, but not forge.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from banger.debian.aptroot import AptRoot
from banger.debian.deb822 import MalformedError, paragraphs
from banger.debian.values import Archive, Lock, PackagePin, Release, check_pin, hide_credentials
from banger.model.errors import HostError, TransientError

# What mmdebstrap's variant minbase installs: its manual page, VARIANTS.
_MINBASE = ("?essential", "?priority(required)", "apt")
_UPDATE_S = 600
_SOLVE_S = 120
_TAIL_CHARS = 1500
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")
_URI_LINE = re.compile(r"'([^']+)' (\S+) (\d{1,12}) SHA256:([0-9a-f]{64})\Z")
_UNTRUSTED = re.compile(r"NO_PUBKEY|is not signed|BADSIG|EXPKEYSIG|signatures (?:couldn't|could not) be verified")


async def resolve(archive: Archive, packages: Sequence[str], state_dir: Path) -> Lock:
    """Pin a minimal system (Essential, Priority required, apt) and `packages`, with all they depend on.

    Reads the network; `state_dir` may be kept for the next time. Raises TransientError if the archive cannot be
    reached, HostError if it is not signed by Debian's keys or a package cannot be had.
    """
    apt = await _updated(archive, state_dir)
    pins = await _solve(apt, archive, [*_MINBASE, *_checked(packages)])
    return _lock(archive, pins, apt)


async def resolve_kernel(archive: Archive, package: str, state_dir: Path) -> Lock:
    """Pin the one package that has the kernel which a metapackage of Debian's names now. Raises as `resolve` does."""
    apt = await _updated(archive, state_dir)
    pins = await _solve(apt, archive, _checked([package]))
    images = [pin for pin in pins if re.match(r"linux-image-\d", pin.name) and pin.name != package]
    if len(images) != 1:
        names = ", ".join(pin.name for pin in images) or "none"
        raise HostError(f"{package}: one kernel package was expected, found {names}")
    return _lock(archive, images, apt)


async def _updated(archive: Archive, state_dir: Path) -> AptRoot:
    apt = await AptRoot.make(state_dir, archive)
    done = await apt.run(["apt-get", "-q", "update"], deadline_s=_UPDATE_S)
    if done.status == 0:
        return apt
    tail = done.stderr.decode(errors="replace").strip()[-_TAIL_CHARS:]
    if _UNTRUSTED.search(tail):
        raise HostError(
            f"{archive.origin}: not signed by the keys in {archive.keyring}:\n{tail}",
            hint="sudo apt-get install --only-upgrade debian-archive-keyring",
        )
    raise TransientError(f"{archive.origin}: its index could not be read:\n{tail}", hint="apt-get update")


def _checked(packages: Sequence[str]) -> list[str]:
    for name in packages:
        # apt would read a `-`, `+`, `=`, `/` or pattern at the end as an order of its own.
        if not _PACKAGE.match(name) or name[-1] in "+-":
            raise HostError(f"{name[:80]!r} is not the name of a package")
    return sorted(set(packages))


async def _solve(apt: AptRoot, archive: Archive, wanted: list[str]) -> list[PackagePin]:
    argv = ["apt-get", "-q", "-y", "--print-uris", "install", *wanted]
    done = (await apt.run(argv, deadline_s=_SOLVE_S)).check(f"the packages of Debian {archive.suite}")
    lines = done.stdout.decode(errors="replace").splitlines()
    pins = [parse_uri_line(line, archive) for line in lines if line.startswith("'")]
    if not pins:
        raise HostError(f"Debian {archive.suite}: apt found no packages to install")
    return sorted(pins)


def parse_uri_line(line: str, archive: Archive) -> PackagePin:
    """Read one line of `apt-get --print-uris`: 'URI' NAME_VERSION_ARCHITECTURE.deb SIZE SHA256:HEX.

    Raises HostError for anything else.
    """
    match = _URI_LINE.match(line)
    parts = unquote(match[2]).removesuffix(".deb").split("_") if match else []
    if not match or len(parts) != 3:  # noqa: PLR2004 - name, version, architecture
        raise HostError(f"apt-get --print-uris: not understood: {hide_credentials(line[:200])!r}")
    name, version, architecture = parts
    for source in archive.sources:
        if match[1].startswith(source.uri + "/"):
            filename = unquote(match[1].removeprefix(source.uri + "/"))
            pin = PackagePin(name, version, architecture, filename, int(match[3]), match[4], source.security)
            return check_pin(pin)
    raise HostError(f"package {name}: apt would take it from outside of {archive.origin}")


def _lock(archive: Archive, pins: Sequence[PackagePin], apt: AptRoot) -> Lock:
    releases = [read_release(path.read_bytes()) for path in sorted(apt.lists.glob("*_InRelease"))]
    return Lock(archive.suite, archive.architecture, tuple(pins), tuple(sorted(set(releases))))


def read_release(signed: bytes) -> Release:
    """Read the suite and date of an InRelease file that apt has verified. Raises HostError."""
    # RFC 9580 section 7: armour headers, an empty line, the text, the signature.
    text = signed.decode(errors="replace").partition("\n\n")[2].partition("\n-----BEGIN PGP SIGNATURE-----")[0]
    try:
        fields = next(paragraphs(text))
        return Release(fields["codename"], fields["date"], hashlib.sha256(signed).hexdigest())
    except (StopIteration, KeyError, MalformedError) as error:
        raise HostError("an InRelease file of the archive has no codename or date") from error
