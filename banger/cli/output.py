"""What is printed: JSON for programs, aligned columns for people, and never what a terminal would obey."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path

from banger.model.errors import HostError
from banger.model.wording import name_of, seconds, short_digest, size

__all__ = [
    "name_of",
    "print_json",
    "print_table",
    "sanitised",
    "seconds",
    "short_digest",
    "size",
    "write_out",
]

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
"""Escape sequences: CSI, OSC, and the short ones (ECMA-48 §5.3, §5.4, §5.6)."""
_CONTROLS = {code: None for code in [*range(32), *range(127, 160)] if chr(code) not in "\t\n"}


def print_json(value: object) -> None:
    """Print a view, or a list of views, as one JSON document."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print columns, two spaces apart. `right`: numbers of the columns that are aligned to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def sanitised(text: str) -> str:
    """Take out what a terminal would obey: escape sequences and every control character but newline and tab.

    Of a sequence that is cut in two by the end of a chunk, the escape character goes and the rest is harmless text.
    """
    return _ESCAPE.sub("", text).translate(_CONTROLS)


def write_out(path: str, text: str) -> None:
    """Write a whole document to a file, or to stdout if it is called `-`. Raises HostError."""
    if path == "-":
        print(text, end="")
        return
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
