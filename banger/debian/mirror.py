"""Find Debian's archive: what the user set, else what this machine's apt uses, else what installed tools default to.

No host name is written here: a machine behind a proxy, with a local mirror or without the public network has already
said in its apt configuration where Debian is. Whatever is found, only indices signed by Debian's own keys are believed.
"""

import os
import platform
import re
from pathlib import Path

from banger.debian.sources import AptSource, parse_one_line, read_sources
from banger.debian.values import SUITE, Archive, Source
from banger.host.tools import find_tool
from banger.model.errors import BangerError, HostError, SpecError

SETTING = "BANGER_DEBIAN_ARCHIVE"
"""Environment variable: a base URI, or lines as in sources.list(5)."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
_TOOL_LIMIT_BYTES = 4 * 1024 * 1024
_COMPONENT = "main"
# mmdebstrap: my $mirror = 'URI'; debootstrap: DEF_MIRROR="URI". The first such line is Debian's in both.
_DEFAULT_MIRROR = re.compile(
    r"^\s*(?:my \$mirror\s*=\s*|DEF_MIRROR=)['\"](https?://[^'\"\s]+/debian)/?['\"]", re.MULTILINE
)
_DEFAULT_SECURITY = re.compile(
    r"^\s*my \$secmirror\s*=\s*['\"](https?://[^'\"\s]+/debian-security)/?['\"]", re.MULTILINE
)


def find_archives(
    setting: str | None = None,
    *,
    etc: Path = Path("/etc/apt"),
    keyrings: Path = Path("/usr/share/keyrings"),
    tools: tuple[Path, ...] | None = None,
    architecture: str | None = None,
) -> tuple[Archive, ...]:
    """Return the archives to try, best first; a setting is the only one when it is given.

    `setting` is a base URI, or lines as in sources.list(5). Raises SpecError for a setting without a usable archive,
    and HostError if Debian's keys are missing, or there is nothing to try.
    """
    wanted = architecture or host_architecture()
    keyring = _keyring(keyrings)
    if setting is not None:
        sources = _from_setting(setting, wanted)
        return (Archive(sources, SUITE, wanted, keyring, "the setting"),)
    found = []
    if host := usable_sources(read_sources(etc), wanted):
        found.append(Archive(host, SUITE, wanted, keyring, f"the apt sources in {etc}"))
    found += [
        Archive(carried, SUITE, wanted, keyring, f"the default of {tool.name}")
        for tool in (_installed_tools() if tools is None else tools)
        if (carried := _carried_by(tool))
    ]
    if not found:
        raise HostError(
            f"no archive with Debian {SUITE} is known to this machine", hint="sudo apt-get install mmdebstrap"
        )
    return tuple(found)


def host_architecture() -> str:
    """Return Debian's name for this machine's architecture. Raises HostError if banger has no image for it."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise HostError(f"machine type {machine}: the default image is for {' and '.join(sorted(_ARCHITECTURES))} only")
    return _ARCHITECTURES[machine]


def usable_sources(entries: list[AptSource], architecture: str) -> tuple[Source, ...]:
    """Return those entries that are Debian's own for the suite; none without the suite itself.

    Other vendors name their suites after Debian's as well: their component or their keys give them away here, and their
    signature when the index is read.
    """
    found: dict[Source, None] = {}
    for entry in entries:
        suites = tuple(suite for suite in entry.suites if suite in {SUITE, f"{SUITE}-updates", f"{SUITE}-security"})
        foreign = bool(entry.signed_by) and "debian-archive" not in entry.signed_by
        if not suites or foreign or _COMPONENT not in entry.components:
            continue
        if entry.architectures and architecture not in entry.architectures:
            continue
        for uri in entry.uris:
            found[Source(uri, suites, (_COMPONENT,))] = None
    return tuple(found) if any(SUITE in source.suites for source in found) else ()


def sources_text(archive: Archive) -> str:
    """Write the archive as a sources.list(5) for a guest; sources that are files of this machine are left out."""
    lines = [
        f"deb {source.uri} {suite} {' '.join(source.components)}\n"
        for source in archive.sources
        if source.uri.startswith("http") and "@" not in source.uri
        for suite in source.suites
    ]
    return "".join(lines)


def sources_here(suite: str) -> str:
    """Where a guest of that suite of Debian's finds packages, by what this machine knows; empty if that is nothing."""
    if suite != SUITE:
        return ""
    try:
        return sources_text(find_archives(os.environ.get(SETTING) or None)[0])
    except BangerError:
        return ""


def _from_setting(setting: str, architecture: str) -> tuple[Source, ...]:
    text = setting.strip()
    lines = text if text.startswith("deb") else f"deb {text} {SUITE} {_COMPONENT}"
    found = usable_sources(parse_one_line(lines), architecture)
    if not found:
        raise SpecError(
            f"archive {setting[:120]!r}: neither the base URI of a Debian archive nor sources.list lines with {SUITE}"
        )
    return found


def _keyring(folder: Path) -> str:
    for name in _KEYRINGS:
        if (folder / name).is_file():
            return str(folder / name)
    raise HostError(
        f"{folder / _KEYRINGS[-1]}: Debian's archive keys are not installed",
        hint="sudo apt-get install debian-archive-keyring",
    )


def _installed_tools() -> tuple[Path, ...]:
    return tuple(tool for name in ("mmdebstrap", "debootstrap") if (tool := find_tool(name)))


def _carried_by(tool: Path) -> tuple[Source, ...]:
    try:
        with tool.open("rb") as file:
            text = file.read(_TOOL_LIMIT_BYTES).decode(errors="replace")
    except OSError:
        return ()
    mirror = _DEFAULT_MIRROR.search(text)
    if not mirror:
        return ()
    found = [Source(mirror[1], (SUITE, f"{SUITE}-updates"), (_COMPONENT,))]
    if security := _DEFAULT_SECURITY.search(text):
        found.append(Source(security[1], (f"{SUITE}-security",), (_COMPONENT,)))
    return tuple(found)
