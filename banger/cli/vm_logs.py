"""`banger vm logs`: a VM's console, made harmless for the terminal that shows it."""

import codecs
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.options import one_vm
from banger.cli.output import sanitised
from banger.cli.start_daemon import daemon, running_daemon
from banger.model.errors import BangerError, NotFoundError
from banger.model.vm import VmView

POLL_S = 0.2
LOOK_S = 1.0
"""How often it is seen to that the VM still runs, while it says nothing."""
CHUNK_BYTES = 64 * 1024
TAIL_LIMIT_BYTES = 16 * 1024 * 1024
_REMEMBERED_BYTES = 256
_GONE_ON = frozenset({"creating", "starting", "running", "paused", "stopping"})


@click.command("logs")
@one_vm
@click.option("-f", "--follow", is_flag=True, help="Go on as the console goes on, until the VM stops.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Only the last lines (default: all).")
def command(name: str, *, follow: bool, lines: int | None) -> None:
    """Show a VM's console. On a terminal, control characters of the guest are taken out."""
    with daemon() as client:
        vm = decode(VmView, client.get(vm_path(name)))
    if vm.console_log is None:
        raise NotFoundError(f"VM {vm.name!r} has no console log")
    try:
        console = Console(Path(vm.console_log))
    except FileNotFoundError as error:
        raise NotFoundError(f"VM {vm.name!r} has not written to its console yet") from error
    if lines is not None:
        console.seek_to_last(lines)
    _write(console.chunks((lambda: _goes_on(vm.id)) if follow else None))


def _write(chunks: Iterator[bytes]) -> None:
    decode_text = codecs.getincrementaldecoder("utf-8")("replace").decode if sys.stdout.isatty() else None
    for chunk in chunks:
        sys.stdout.buffer.write(sanitised(decode_text(chunk)).encode() if decode_text else chunk)
        sys.stdout.buffer.flush()


def _goes_on(vm_id: str) -> bool:
    """Whether more may come of it. A daemon that is away for a moment does not mean no."""
    try:
        client = running_daemon()
        if client is None:
            return True
        with client:
            return decode(VmView, client.get(vm_path(vm_id))).state in _GONE_ON
    except NotFoundError:
        return False
    except BangerError:
        return True


class Console:
    """A console's file. Its text begins behind a hole, which is not shown (banger.vm.console)."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._last = b""
        self._seek_to_text()

    def seek_to_last(self, lines: int) -> None:
        """Go to the beginning of the last `lines` lines."""
        begin = self._file.tell()
        end = self._file.seek(0, os.SEEK_END)
        start = max(begin, end - TAIL_LIMIT_BYTES)
        self._file.seek(start)
        data = self._read(end - start)
        position = len(data) - data.endswith(b"\n")
        for _ in range(lines):
            position = data.rfind(b"\n", 0, position)
            if position < 0:
                break
        self._file.seek(start + (len(data) if lines == 0 else position + 1))

    def chunks(self, goes_on: Callable[[], bool] | None) -> Iterator[bytes]:
        """Yield what there is, and with `goes_on` what comes as long as that holds."""
        looked_at = time.monotonic()
        is_last = False
        while True:
            chunk = self._file.read(CHUNK_BYTES)
            if chunk:
                self._last = (self._last + chunk)[-_REMEMBERED_BYTES:]
                yield chunk
            elif goes_on is None or is_last:
                return
            elif os.fstat(self._file.fileno()).st_size < self._file.tell():
                time.sleep(POLL_S)  # whoever made it shorter writes what is left of it now
                self._find_again()
            elif time.monotonic() - looked_at >= LOOK_S:
                looked_at = time.monotonic()
                is_last = not goes_on()
            else:
                time.sleep(POLL_S)

    def _find_again(self) -> None:
        """It has become shorter: its oldest text was dropped, or the VM was started again."""
        self._seek_to_text()
        begin = self._file.tell()
        data = self._read(TAIL_LIMIT_BYTES)
        at = data.find(self._last) if self._last else -1
        self._file.seek(begin if at < 0 else begin + at + len(self._last))

    def _seek_to_text(self) -> None:
        descriptor = self._file.fileno()
        begin = 0
        with suppress(OSError):  # ENXIO: no text at all
            begin = os.lseek(descriptor, 0, os.SEEK_DATA)
        self._file.seek(begin)
        # The first block holds the end of the hole.
        first = self._file.read(CHUNK_BYTES)
        end = os.fstat(descriptor).st_size
        text = first.lstrip(b"\0")
        self._file.seek(begin + len(first) - len(text) if text else end)

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size and (chunk := self._file.read(size - len(data))):
            data += chunk
        return bytes(data)
