"""Unpack one blob after another in a thread, ahead of whoever takes their tars apart."""

import hashlib
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from queue import SimpleQueue
from typing import Final

from banger.layers.options import Layer, Limits
from banger.layers.packed import BlobReader, unpack
from banger.model.errors import SpecError

Unpacked = bytes | None
"""A piece of a tar; None at the end of each layer."""

_AHEAD: Final = 4
"""Pieces that wait, at most: 4 MiB."""


def unpacked(
    layers: Sequence[Layer], blobs: Sequence[int], limits: Limits, progress: Callable[[int, int], None]
) -> Generator[Unpacked, None, None]:
    """Yield the pieces of every layer, followed by None. Raises what is wrong with a blob in the place of its piece.

    Close the iterator: the thread ends with it.
    """
    queue: SimpleQueue[Unpacked | BaseException] = SimpleQueue()
    room = threading.Semaphore(_AHEAD)
    is_unwanted = threading.Event()
    worker = _Worker(layers, blobs, limits, progress)

    def work() -> None:
        try:
            for piece in worker.pieces():
                room.acquire()
                if is_unwanted.is_set():
                    return
                queue.put(piece)
        except BaseException as error:  # noqa: BLE001 - raised again by the one who waits for the piece
            queue.put(error)

    thread = threading.Thread(target=work, name="unpack", daemon=True)
    thread.start()
    try:
        while True:
            item = queue.get()
            room.release()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_unwanted.set()
        room.release()
        thread.join()


class _Worker:
    """What the thread does."""

    def __init__(
        self, layers: Sequence[Layer], blobs: Sequence[int], limits: Limits, progress: Callable[[int, int], None]
    ) -> None:
        self._layers = layers
        self._blobs = blobs
        self._limits = limits
        self._progress = progress
        self._all = sum(os.fstat(blob).st_size for blob in blobs)
        self._done = 0
        self._tar_bytes = 0

    def pieces(self) -> Iterator[Unpacked]:
        for layer, blob in zip(self._layers, self._blobs, strict=True):
            hashed = hashlib.sha256() if layer.digest is not None else None
            reader = BlobReader(blob, hashed, self._count)
            for piece in unpack(reader, layer.compression, self._limits):
                self._tar_bytes += len(piece)
                if self._tar_bytes > self._limits.tar_bytes:
                    raise SpecError(f"the image has more than {self._limits.tar_bytes >> 20} MiB of tars")
                yield piece
            while reader.read():
                pass  # a frame can end before its blob does
            if hashed is not None and hashed.hexdigest() != layer.digest:
                raise SpecError(f"its blob has the sha256 {hashed.hexdigest()}, and not {layer.digest}")
            yield None

    def _count(self, size: int) -> None:
        self._done += size
        self._progress(self._done, self._all)
