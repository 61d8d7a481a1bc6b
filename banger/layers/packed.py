"""Unpack a layer's blob in pieces: gzip, zstd or nothing. Nothing here holds more than a few MiB.

gzip is what RFC 1952 says a file may be: any number of members, nothing behind them. isal is more than twice as fast as
zlib; where it is not installed, zlib does it.
"""

import importlib
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from banger.layers.options import Compression, Limits
from banger.model.errors import HostError, SpecError

try:
    igzip_lib: Any = importlib.import_module("isal.igzip_lib")
except ImportError:  # pragma: no cover - a platform without a wheel
    igzip_lib = None

READ_BYTES: Final = 256 << 10
PIECE_BYTES: Final = 1 << 20
_MAX_WINDOW_BYTES: Final = 128 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"


class Hash(Protocol):
    """A running sha256."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """The digest so far."""
        ...


class BlobReader:
    """Reads a blob from its descriptor, hashes it if asked, and counts."""

    def __init__(self, fd: int, hashed: Hash | None, progress: Callable[[int], None]) -> None:
        self._fd = fd
        self._hashed = hashed
        self._progress = progress
        self.read_bytes = 0

    def read(self, size: int = READ_BYTES) -> bytes:
        """The next bytes; empty at the end. Raises HostError if the host cannot read them."""
        try:
            data = os.read(self._fd, size)
        except OSError as error:
            raise HostError(f"cannot be read: {error.strerror}") from error
        if self._hashed is not None:
            self._hashed.update(data)
        self.read_bytes += len(data)
        self._progress(len(data))
        return data


def unpack(blob: BlobReader, compression: Compression, limits: Limits) -> Iterator[bytes]:
    """Yield the tar in pieces of at most `PIECE_BYTES`. Raises SpecError if the blob is not what it is said to be."""
    pieces = {
        Compression.NONE: _plain,
        Compression.GZIP: _gunzip,
        Compression.ZSTD: _unzstd,
    }[compression](blob, limits)
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limits.ratio_grace_bytes and total > limits.ratio * blob.read_bytes:
            raise SpecError(f"unpacks to more than {limits.ratio} times its size")
        yield piece


def _plain(blob: BlobReader, _: Limits) -> Iterator[bytes]:
    while piece := blob.read(PIECE_BYTES):
        yield piece


def _gunzip(blob: BlobReader, limits: Limits) -> Iterator[bytes]:
    data = blob.read()
    if not data.startswith(_GZIP_MAGIC[: max(1, len(data))]):
        raise SpecError("is not gzip, though its media type says so")
    for _ in range(limits.gzip_members):
        member = _Isal() if igzip_lib is not None else _Zlib()
        while not member.eof:
            if not data and member.wants_input:
                data = blob.read()
                if not data:
                    raise SpecError("its gzip data is cut short")
            try:
                piece = member.decompress(data)
            except (OSError, ValueError, zlib.error, _IsalError) as error:
                raise SpecError(f"its gzip data is damaged: {error}") from error
            data = b""
            if piece:
                yield piece
        data = member.unused or blob.read()
        if not data:
            return
    raise SpecError(f"has more than {limits.gzip_members} gzip members")


class _Isal:
    """One member."""

    def __init__(self) -> None:
        self._state = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

    @property
    def eof(self) -> bool:
        return bool(self._state.eof)

    @property
    def wants_input(self) -> bool:
        return bool(self._state.needs_input)

    @property
    def unused(self) -> bytes:
        return bytes(self._state.unused_data)

    def decompress(self, data: bytes) -> bytes:
        return self._state.decompress(data, PIECE_BYTES)  # type: ignore[no-any-return]


class _Zlib:
    """One member, without isal."""

    def __init__(self) -> None:
        self._state = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return bool(self._state.eof)

    @property
    def wants_input(self) -> bool:
        return not self._state.unconsumed_tail

    @property
    def unused(self) -> bytes:
        return bytes(self._state.unused_data)

    def decompress(self, data: bytes) -> bytes:
        return self._state.decompress(self._state.unconsumed_tail + data, PIECE_BYTES)


_IsalError: type[Exception] = igzip_lib.IsalError if igzip_lib is not None else zlib.error


class _Peeked:
    """A blob of which the first bytes were looked at."""

    def __init__(self, first: bytes, blob: BlobReader) -> None:
        self._first = first
        self._blob = blob

    def read(self, size: int) -> bytes:
        first, self._first = self._first, b""
        return first or self._blob.read(size)


def _unzstd(blob: BlobReader, _: Limits) -> Iterator[bytes]:
    import zstandard  # a layer in gzip, which nearly all are, need not wait for it

    first = blob.read()
    if first and first[:4] != _ZSTD_MAGIC and first[1:4] != _ZSTD_SKIPPABLE:
        raise SpecError("is not zstd, though its media type says so")
    state = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    source: Any = _Peeked(first, blob)
    reader = state.stream_reader(source, read_size=READ_BYTES, read_across_frames=True)
    try:
        while piece := reader.read(PIECE_BYTES):
            yield piece
    except zstandard.ZstdError as error:
        raise SpecError(f"its zstd data is damaged, or needs a window of more than 128 MiB: {error}") from error
