"""Paragraphs of "Field: value" lines, as control files, package indices and apt's .sources files have them.

Format: deb822(5). Field names compare without regard to case; a repeated field or a stray line is an error.
"""

import re
from collections.abc import Iterator

Paragraph = dict[str, str]
"""Field name in lower case to value; the lines of a folded value are joined by newlines, without their first space."""

# Policy 5.1: printable US-ASCII without space and colon; the first is neither `#` nor `-`.
_FIELD = re.compile(r"([!-\"$-,.-9;-~][!-9;-~]*):[ \t]*(.*)\Z")
TEXT_LIMIT_BYTES = 256 * 1024 * 1024


class MalformedError(ValueError):
    """The text is not deb822; the message has the line number."""


def paragraphs(text: str) -> Iterator[Paragraph]:
    """Yield the paragraphs of a text. Raises MalformedError."""
    fields: Paragraph = {}
    last = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] in " \t":
            if not last:
                raise MalformedError(f"line {number}: continues no field")
            fields[last] += "\n" + line[1:].rstrip()
        else:
            last, value = _field(line, number)
            if last in fields:
                raise MalformedError(f"line {number}: {last!r} is there twice")
            fields[last] = value
    if fields:
        yield fields


def _field(line: str, number: int) -> tuple[str, str]:
    match = _FIELD.match(line.rstrip())
    if not match:
        raise MalformedError(f"line {number}: not a field: {line[:80]!r}")
    return match[1].lower(), match[2]
