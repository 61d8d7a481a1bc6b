"""What is printed: JSON for programs, aligned columns for people, and never what a terminal would obey."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path

from banger.cli.harmless import sanitised
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

_OBEYED = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def print_json(value: object) -> None:
    """Print a view, or a list of views, as one JSON document."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False)
    # JSON lets these stand, but they would not reach whoever reads it.
    print(_OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print columns, two spaces apart. `right`: numbers of the columns that are aligned to the right."""
    lines = [[" ".join(sanitised(cell).splitlines()) for cell in line] for line in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


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
