"""Show a file's end, and go on as it grows: what a guest or a program wrote, made harmless for a terminal."""

import codecs
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from banger.cli.output import sanitised

POLL_S = 0.2
CHUNK_BYTES = 64 * 1024
TAIL_LIMIT_BYTES = 16 * 1024 * 1024


def show_file(path: Path, lines: int | None, *, follow: bool) -> None:
    """Write a file, or its last lines; to a terminal without control characters. Raises FileNotFoundError."""
    with path.open("rb") as file:
        _copy(file, lines, follow=follow)


def _copy(file: IO[bytes], lines: int | None, *, follow: bool) -> None:
    if lines is not None:
        _seek_to_last(file, lines)
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode if sys.stdout.isatty() else None
    for chunk in _chunks(file, follow=follow):
        sys.stdout.buffer.write(sanitised(decode(chunk)).encode() if decode else chunk)
        sys.stdout.buffer.flush()


def _chunks(file: IO[bytes], *, follow: bool) -> Iterator[bytes]:
    while True:
        chunk = file.read(CHUNK_BYTES)
        if chunk:
            yield chunk
        elif follow:
            time.sleep(POLL_S)
        else:
            return


def _seek_to_last(file: IO[bytes], lines: int) -> None:
    end = file.seek(0, 2)
    start = max(0, end - TAIL_LIMIT_BYTES)
    file.seek(start)
    data = file.read(end - start)
    position = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            break
    file.seek(start + (len(data) if lines == 0 else position + 1))
