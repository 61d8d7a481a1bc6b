"""Read the apt sources of this machine: both forms of sources.list(5), as apt itself reads them.

A source that banger cannot use (a CD, a mirror method, variables, a broken entry) is left out: it is the machine's
business, and apt says what is wrong with it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from banger.debian.deb822 import MalformedError, Paragraph, paragraphs

_FILE_LIMIT_BYTES = 1024 * 1024
_SCHEMES = ("http://", "https://", "file:/", "copy:/")
_MIRROR_FILE = "mirror+file:"
_ONE_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)((?:\s+\S+)*)\s*\Z")
_UNSAFE = re.compile(r"[\x00-\x20\"\\\[\]\x7f]")


class AptSource:
    """One repository entry of this machine: URIs, suites, components, and the options that matter here."""

    __slots__ = ("architectures", "components", "signed_by", "suites", "uris")

    def __init__(
        self,
        uris: list[str],
        suites: list[str],
        components: list[str],
        *,
        signed_by: str = "",
        architectures: tuple[str, ...] = (),
    ) -> None:
        self.uris = [usable for uri in uris for usable in _usable(uri)]
        self.suites = suites
        self.components = components
        self.signed_by = signed_by
        self.architectures = architectures


def read_sources(etc: Path) -> list[AptSource]:
    """Return the entries below an /etc/apt, in the order that apt reads them; what cannot be read is left out."""
    folder = etc / "sources.list.d"
    files = [etc / "sources.list"]
    if folder.is_dir():
        # apt_preferences(5) style names: only these two endings count.
        files += sorted(path for path in folder.iterdir() if path.suffix in {".list", ".sources"})
    found: list[AptSource] = []
    for path in files:
        text = _read(path)
        found += parse_deb822(text) if path.suffix == ".sources" else parse_one_line(text)
    return found


def parse_one_line(text: str) -> list[AptSource]:
    """Return the `deb` entries of a .list file; lines that are none are left out."""
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.partition("#")[0].strip())
        if match:
            options = dict(_options(match[1] or ""))
            found.append(
                AptSource(
                    [match[2]],
                    [match[3]],
                    match[4].split(),
                    signed_by=options.get("signed-by", ""),
                    architectures=tuple(part for part in options.get("arch", "").split(",") if part),
                )
            )
    return found


def parse_deb822(text: str) -> list[AptSource]:
    """Return the enabled `deb` entries of a .sources file; of a malformed file, those before the fault."""
    found = []
    try:
        for entry in paragraphs(text):
            if "deb" in entry.get("types", "").split() and _enabled(entry):
                found.append(_entry(entry))  # noqa: PERF401 - those before a fault count
    except MalformedError:
        return found
    return found


def _entry(fields: Paragraph) -> AptSource:
    return AptSource(
        fields.get("uris", "").split(),
        fields.get("suites", "").split(),
        fields.get("components", "").split(),
        signed_by=fields.get("signed-by", "").strip(),
        architectures=tuple(fields.get("architectures", "").split()),
    )


def _enabled(entry: Paragraph) -> bool:
    return entry.get("enabled", "yes").strip().lower() not in {"no", "false", "without", "off", "disable", "0"}


def _options(text: str) -> Iterator[tuple[str, str]]:
    for word in text.split():
        name, sign, value = word.partition("=")
        if sign:
            yield name.rstrip("+-").lower(), value


def _usable(uri: str) -> list[str]:
    if _UNSAFE.search(uri):
        return []
    if uri.startswith(_MIRROR_FILE):
        # apt-transport-mirror(1): one URI a line, then metadata after a tab. apt-helper cannot follow the method.
        lines = _read(Path(uri.removeprefix(_MIRROR_FILE))).splitlines()
        inner = [line.split("#")[0].split()[0] for line in lines if line.split("#")[0].split()]
        return [usable for each in inner if not each.startswith("mirror") for usable in _usable(each)]
    return [uri.rstrip("/")] if uri.startswith(_SCHEMES) else []


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _FILE_LIMIT_BYTES:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
