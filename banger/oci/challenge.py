"""Read `WWW-Authenticate`: RFC 9110, 11.6.1, as far as registries use it."""

import re
from dataclasses import dataclass

_LIMIT_CHARS = 8192
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf"\s*({_WORD})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|({_WORD}))\s*(?:,|\Z)")
_SCHEME = re.compile(rf"[\s,]*({_WORD})(?:\s+|\s*\Z|\s*,)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server wants: `scheme` in lower case; parameter names in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """The first parameter of a name; empty if it is not there."""
        return next((value for key, value in self.parameters if key == name), "")


def parse_challenges(headers: list[str]) -> list[Challenge]:
    """Read every challenge, in order. What cannot be read ends that header; nothing is raised."""
    found: list[Challenge] = []
    for text in headers:
        if len(text) <= _LIMIT_CHARS:
            found += _parse(text)
    return found


def _parse(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    while match := _SCHEME.match(text, at):
        at = match.end()
        parameters: list[tuple[str, str]] = []
        while parameter := _PARAMETER.match(text, at):
            at = parameter.end()
            quoted, plain = parameter[2], parameter[3]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            parameters.append((parameter[1].lower(), value))
        found.append(Challenge(match[1].lower(), tuple(parameters)))
    return found
