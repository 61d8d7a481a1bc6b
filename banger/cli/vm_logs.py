"""`banger vm logs`: a VM's console, made harmless for the terminal that shows it."""

import codecs
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.options import one_vm
from banger.cli.output import sanitised
from banger.cli.start_daemon import daemon
from banger.model.errors import NotFoundError
from banger.model.vm import VmView

POLL_S = 0.2
CHUNK_BYTES = 64 * 1024
TAIL_LIMIT_BYTES = 16 * 1024 * 1024


@click.command("logs")
@one_vm
@click.option("-f", "--follow", is_flag=True, help="Go on as the console goes on.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Only the last lines (default: all).")
def command(name: str, *, follow: bool, lines: int | None) -> None:
    """Show a VM's console. On a terminal, control characters of the guest are taken out."""
    with daemon() as client:
        vm = decode(VmView, client.get(vm_path(name)))
    if vm.console_log is None:
        raise NotFoundError(f"VM {vm.name!r} has no console log")
    try:
        with Path(vm.console_log).open("rb") as console:
            _copy(console, lines, follow=follow)
    except FileNotFoundError as error:
        raise NotFoundError(f"VM {vm.name!r} has not written to its console yet") from error


def _copy(console: IO[bytes], lines: int | None, *, follow: bool) -> None:
    if lines is not None:
        _seek_to_last(console, lines)
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode if sys.stdout.isatty() else None
    for chunk in _chunks(console, follow=follow):
        sys.stdout.buffer.write(sanitised(decode(chunk)).encode() if decode else chunk)
        sys.stdout.buffer.flush()


def _chunks(console: IO[bytes], *, follow: bool) -> Iterator[bytes]:
    while True:
        chunk = console.read(CHUNK_BYTES)
        if chunk:
            yield chunk
        elif follow:
            time.sleep(POLL_S)
        else:
            return


def _seek_to_last(console: IO[bytes], lines: int) -> None:
    end = console.seek(0, 2)
    start = max(0, end - TAIL_LIMIT_BYTES)
    console.seek(start)
    data = console.read(end - start)
    position = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            break
    console.seek(start + (len(data) if lines == 0 else position + 1))
