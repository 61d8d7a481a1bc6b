"""What is printed holds nothing that a terminal would obey, whoever wrote it: a guest, a registry, a repository.

Every word that `print` writes passes here, since no verb can know of each string where it comes from. What goes around
it, on purpose, is bytes: a console (banger.cli.vm_logs looks at those itself) and what a command in a guest writes.
"""

import re
import sys
from typing import TextIO, cast

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
"""Escape sequences: CSI, OSC, and the short ones (ECMA-48 §5.3, §5.4, §5.6)."""
_TURNS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Characters that turn the direction of what follows (Unicode Standard Annex 9): they can make a line say another."""
_CONTROLS = {code: None for code in [*range(32), *range(127, 160), *_TURNS] if chr(code) not in "\t\n"}


def sanitised(text: str) -> str:
    """Take out what a terminal would obey: escape sequences and every control character but newline and tab.

    Of a sequence that is cut in two by the end of a chunk, the escape character goes and the rest is harmless text.
    """
    return _ESCAPE.sub("", text).translate(_CONTROLS)


class Harmless:
    """A text stream, all of whose text is made harmless. Everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        return self._stream.write(sanitised(text))

    def writelines(self, lines: list[str]) -> None:
        """Write lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def make_output_harmless() -> None:
    """Have all that this process prints pass here."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Harmless):
            setattr(sys, name, cast("TextIO", Harmless(stream)))


def unfiltered(stream: TextIO) -> TextIO:
    """The stream itself, for who draws on a terminal with sequences of our own, and makes the rest harmless."""
    return stream._stream if isinstance(stream, Harmless) else stream  # noqa: SLF001 - our own class
