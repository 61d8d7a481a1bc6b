"""Take apart a body that comes in chunks (RFC 9112 §7.1), as it comes."""

_SIZE_LINE_LONGEST = 64


class ChunkReader:
    """Holds what is unfinished of a size line, and nothing else. `ended`: the last chunk has come."""

    def __init__(self) -> None:
        self.ended = False
        self._line = b""
        self._left = 0
        """Bytes of this chunk that are still to come, with the two that end it."""

    def feed(self, data: bytes) -> bytes:
        """Take what came; return what it holds of the body. Raises ValueError for what is no chunk."""
        out = bytearray()
        while data and not self.ended:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                out += piece[: max(0, self._left - 2)]
                self._left -= len(piece)
                continue
            line, found, rest = (self._line + data).partition(b"\r\n")
            if len(line) > _SIZE_LINE_LONGEST:
                raise ValueError("a chunk without a size")
            if not found:
                self._line = line
                break
            self._line, data = b"", rest
            self._begin(int(line.split(b";")[0], 16))
        return bytes(out)

    def _begin(self, size: int) -> None:
        if size < 0:
            raise ValueError("a chunk of less than nothing")
        self.ended = size == 0
        self._left = size + 2
