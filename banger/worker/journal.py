"""What root has made, and is about to make: the truth about root's effects, in a file that the owner cannot write.

A record is its length and its CRC-32 (4 bytes each, big endian) and JSON. A tail that was torn by a crash is cut off; a
damaged record before the tail is not one a crash can leave, and is refused. An intent is synced before anything is done
for it. That it was done is written, and not waited for: what loses a written page loses the boot, and with it every
link and rule there is.
"""

import binascii
import os
import struct
from collections.abc import Iterator
from typing import Literal

import msgspec

from banger.worker.wire import Destination

_HEAD = struct.Struct("!II")
_LARGEST_RECORD = 4096
_COMPACT_ABOVE = 1024 * 1024
_NAME = "journal"
_NEW_NAME = "journal.new"


class JournalError(Exception):
    """The journal cannot be believed, or not be written."""


class Lease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One effect. `key` is the VM's id; of "forward", where the kernel's switch was turned, the interface's name."""

    kind: Literal["bridge", "tap", "nat", "forward"]
    key: str
    slot: int = 0
    egress: bool = False
    peers: bool = False
    allow: tuple[Destination, ...] = ()
    network: str = ""

    @property
    def name(self) -> tuple[str, str]:
        """What tells it from the others."""
        return self.kind, self.key


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["intend", "held", "released"]
    lease: Lease
    boot: str


class Journal:
    """The leases, by kind and key. Only one process can have it open."""

    def __init__(self, directory: int, boot: str) -> None:
        """Read it, or begin one, in an open directory. Raises JournalError if it is damaged."""
        self._directory = directory
        self._boot = boot
        self._boots: dict[tuple[str, str], str] = {}
        self._intended: dict[tuple[str, str], Lease] = {}
        self._held: dict[tuple[str, str], Lease] = {}
        self._file = os.open(_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=directory)
        try:
            self._load()
            self._compact()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def held(self, kind: str, key: str) -> Lease | None:
        """What is held for sure."""
        return self._held.get((kind, key))

    def all_held(self, kind: str | None = None) -> list[Lease]:
        """Everything that is held, or all of a kind."""
        return [lease for lease in self._held.values() if kind in {None, lease.kind}]

    def begun(self) -> list[Lease]:
        """What was begun, and may be there or not, or in half."""
        return list(self._intended.values())

    def from_before(self) -> list[Lease]:
        """What another boot of this machine has made: it went with it."""
        leases = {**self._intended, **self._held}
        return [lease for name, lease in leases.items() if self._boots[name] != self._boot]

    def intend(self, lease: Lease) -> None:
        """Say what is about to be done. What is held under that name is held no more."""
        self._append("intend", lease)

    def hold(self, lease: Lease) -> None:
        """Say that it is done."""
        self._append("held", lease)

    def release(self, lease: Lease) -> None:
        """Say that it is undone."""
        self._append("released", lease)
        if self._size > _COMPACT_ABOVE:
            self._compact()

    def _append(self, state: Literal["intend", "held", "released"], lease: Lease) -> None:
        data = _record(_Record(state, lease, self._boot))
        try:
            _write_all(self._file, data)
            if state == "intend":
                os.fdatasync(self._file)
        except OSError as error:
            # What is in the file now is anybody's guess, and a later sync would not tell.
            raise JournalError(f"the journal cannot be written: {error.strerror}") from error
        self._size += len(data)
        self._take(_Record(state, lease, self._boot))

    def _take(self, record: _Record) -> None:
        name = record.lease.name
        self._boots[name] = record.boot
        for leases in (self._intended, self._held):
            leases.pop(name, None)
        if record.state == "released":
            del self._boots[name]
        else:
            (self._intended if record.state == "intend" else self._held)[name] = record.lease

    def _load(self) -> None:
        with open(self._file, "rb", closefd=False) as file:
            data = file.read()
        end = 0
        for record, after in _records(data):
            self._take(record)
            end = after
        if end < len(data):
            os.ftruncate(self._file, end)
        os.lseek(self._file, 0, os.SEEK_END)
        self._size = end

    def _compact(self) -> None:
        """Write the leases that there are into a new file, and put it in the old one's place."""
        records = [_Record("intend", lease, self._boots[lease.name]) for lease in self.begun()]
        records += [_Record("held", lease, self._boots[lease.name]) for lease in self.all_held()]
        data = b"".join(map(_record, records))
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        new = os.open(_NEW_NAME, flags, 0o600, dir_fd=self._directory)
        try:
            _write_all(new, data)
            os.fsync(new)
            os.rename(_NEW_NAME, _NAME, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            os.fsync(self._directory)
        except OSError as error:
            os.close(new)
            raise JournalError(f"the journal cannot be written anew: {error.strerror}") from error
        os.close(self._file)
        self._file, self._size = new, len(data)


def _record(record: _Record) -> bytes:
    body = msgspec.json.encode(record)
    return _HEAD.pack(len(body), binascii.crc32(body)) + body


def _records(data: bytes) -> Iterator[tuple[_Record, int]]:
    """Yield each record and where it ends; stop where the last one is torn."""
    at = 0
    while len(data) - at >= _HEAD.size:
        size, crc = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + size
        body = data[at + _HEAD.size : end]
        if not size or binascii.crc32(body) != crc:
            # The last append, cut or with a hole of zeros in it; it was never synced, so nothing was done for it.
            if size > _LARGEST_RECORD or (end if size else at + _LARGEST_RECORD) < len(data):
                raise JournalError(f"the journal is damaged at byte {at}")
            return
        try:
            yield msgspec.json.decode(body, type=_Record), end
        except msgspec.DecodeError as error:
            raise JournalError(f"the journal has a record of another kind at byte {at}") from error
        at = end


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
