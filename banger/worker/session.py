"""One connection, as a function of the bytes and times that it is given: no socket, no clock.

It says hello, and then asks one thing at a time. Whoever does anything else is cut off, and said to have been.
"""

from dataclasses import dataclass
from enum import Enum

from banger.worker.wire import VERSION, AnyRequest, Code, FrameError, Hello, UnknownOpError, decode_request, take_frame

FRAME_DEADLINE_S = 5.0
BUCKET_HOLDS = 1000
BUCKET_FILLS_PER_S = 50.0


class State(Enum):
    """Where a connection is."""

    NEW = "new"
    READY = "ready"
    BUSY = "busy"
    CLOSED = "closed"


MOVES = {
    State.NEW: {State.READY, State.CLOSED},
    State.READY: {State.BUSY, State.CLOSED},
    State.BUSY: {State.READY, State.CLOSED},
    State.CLOSED: set[State](),
}


class Bucket:
    """How many requests the owner may still make: 250 VMs at once, and then 50 requests a second."""

    def __init__(self, now: float) -> None:
        self._left = float(BUCKET_HOLDS)
        self._at = now

    def take(self, now: float) -> bool:
        """Take one; False if there is none."""
        self._left = min(BUCKET_HOLDS, self._left + max(0.0, now - self._at) * BUCKET_FILLS_PER_S)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a connection did wrong. `closes`: it is over."""

    seq: int
    code: Code
    closes: bool = True


class Session:
    """Bytes in; at most one request or refusal out, until `answered`."""

    def __init__(self, bucket: Bucket) -> None:
        self.state = State.NEW
        self._bucket = bucket
        self._buffer = bytearray()
        self._began: float | None = None
        self._seq = 0

    def move(self, state: State) -> None:
        """Go on. Another move than those in the table is a bug."""
        assert state in MOVES[self.state], f"a session cannot go from {self.state} to {state}"
        self.state = state

    def receive(self, data: bytes, now: float) -> AnyRequest | Refusal | None:
        """Take what came; return a request, what is wrong, or None if more must come."""
        if not self._buffer:
            self._began = now
        self._buffer += data
        try:
            body = take_frame(self._buffer)
        except FrameError:
            return self._close(0, "malformed")
        if body is None:
            return self._close(0, "malformed") if self.is_late(now) else None
        if self._buffer:  # the next before the answer to this
            return self._close(0, "malformed")
        self._began = None
        if not self._bucket.take(now):
            return self._close(0, "rate")
        return self._read(body)

    def is_late(self, now: float) -> bool:
        """Whether a frame was begun and is not whole in time."""
        return self._began is not None and now - self._began > FRAME_DEADLINE_S

    def answered(self) -> None:
        """The request was answered: the next may come."""
        self.move(State.READY)

    def _read(self, body: bytes) -> AnyRequest | Refusal:
        try:
            request = decode_request(body)
        except UnknownOpError as error:
            if self.state is State.NEW or error.seq != self._seq + 1:
                return self._close(error.seq, "unknown")
            self._seq = error.seq
            return Refusal(error.seq, "unknown", closes=False)
        except FrameError:
            return self._close(0, "malformed")
        if request.seq != self._seq + 1 or isinstance(request, Hello) != (self.state is State.NEW):
            return self._close(request.seq, "order")
        if isinstance(request, Hello) and request.version != VERSION:
            return self._close(request.seq, "version")
        self._seq = request.seq
        self.move(State.READY if self.state is State.NEW else State.BUSY)
        return request

    def _close(self, seq: int, code: Code) -> Refusal:
        self.move(State.CLOSED)
        return Refusal(seq, code)
