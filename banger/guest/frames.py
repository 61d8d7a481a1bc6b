"""Frames of the guest protocol in a byte stream: COBS blocks that end with a zero (docs/guest-protocol.md).

After garbage, or half a frame of someone who died, the next zero is where a reader goes on; nothing has to be guessed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PROTOCOL_VERSION = 2
FRAME_LARGEST_BYTES = 65536
_STUFFED_LARGEST_BYTES = FRAME_LARGEST_BYTES + FRAME_LARGEST_BYTES // 254 + 1
_BLOCK = 254
_HEADER = struct.Struct(">BBHII")
DELIMITER = b"\0"


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: what it is, for which channel, which request it asks or answers, and its body."""

    type: int
    request: int
    body: bytes = b""
    channel: int = 0
    version: int = PROTOCOL_VERSION


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes to send, delimiter included. The body must leave room for the header in 64 KiB."""
    header = _HEADER.pack(frame.version, frame.type, frame.channel, frame.request, len(frame.body))
    data = header + frame.body
    assert len(data) <= FRAME_LARGEST_BYTES, "a frame of ours is too large"
    return _stuff(data) + DELIMITER


def _stuff(data: bytes) -> bytes:
    out = bytearray()
    for run in data.split(DELIMITER):
        full = len(run) - len(run) % _BLOCK
        for start in range(0, full, _BLOCK):
            out.append(_BLOCK + 1)
            out += run[start : start + _BLOCK]
        out.append(len(run) - full + 1)
        out += run[full:]
    return bytes(out)


def _unstuff(stuffed: bytes) -> bytes | None:
    """Undo `_stuff`; None if the last block is cut short."""
    out = bytearray()
    at = 0
    while at < len(stuffed):
        code = stuffed[at]
        end = at + code
        if end > len(stuffed):
            return None
        out += stuffed[at + 1 : end]
        at = end
        if code <= _BLOCK and at < len(stuffed):
            out.append(0)
    return bytes(out)


def _parse(stuffed: bytes) -> Frame | None:
    data = _unstuff(stuffed)
    if data is None or not _HEADER.size <= len(data) <= FRAME_LARGEST_BYTES:
        return None
    version, kind, channel, request, size = _HEADER.unpack_from(data)
    if size != len(data) - _HEADER.size:
        return None
    return Frame(kind, request, data[_HEADER.size :], channel, version)


class FrameDecoder:
    """Find the frames in what a guest sends; keeps at most one frame's bytes, whatever comes.

    `discarded_bytes` counts what was in no valid frame. Owned by one reader.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._skipping = False
        self.discarded_bytes = 0

    @property
    def pending_bytes(self) -> int:
        """Return how many bytes of an unfinished frame are held."""
        return len(self._pending)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take what came; yield each frame it completes. The iterator must be run to its end."""
        *ended, rest = data.split(DELIMITER)
        for piece in ended:
            self._hold(piece)
            frame = self._finish()
            if frame is not None:
                yield frame
        self._hold(rest)

    def _hold(self, piece: bytes) -> None:
        if self._skipping or len(self._pending) + len(piece) > _STUFFED_LARGEST_BYTES:
            self.discarded_bytes += len(self._pending) + len(piece)
            self._pending.clear()
            self._skipping = True
        else:
            self._pending += piece

    def _finish(self) -> Frame | None:
        stuffed = bytes(self._pending)
        self._pending.clear()
        if self._skipping or not stuffed:
            self._skipping = False
            return None
        frame = _parse(stuffed)
        if frame is None:
            self.discarded_bytes += len(stuffed)
        return frame
