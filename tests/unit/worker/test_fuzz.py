"""A compromised owner sends whatever it likes: nothing but a request in its one spelling ever comes through."""

import random

import pytest

from banger.worker.session import Bucket, Refusal, Session, State
from banger.worker.wire import LENGTH, FrameError, Hello, decode_request, encode
from tests.unit.worker.test_wire import HOSTILE, REQUESTS

_BODIES = [encode(request)[LENGTH.size :] for request in REQUESTS] + list(HOSTILE.values())
_PIECES = [
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\u0000", b"\xff", b"null", b"true", b"1e9", b"-0", b"9" * 30),
    *(b'"op":', b'"seq":', b'"vm":', b'"kind":', b'"net.tap"', b'"release"', b"a" * 32, b"../", b" ", b"\n"),
]


class Endless(Bucket):
    """Never empty: what is judged here is what comes after."""

    def take(self, now: float) -> bool:
        return True


def mutate(choose: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(choose.randrange(1, 4)):
        at = choose.randrange(len(changed) + 1)
        match choose.randrange(4):
            case 0:
                changed[at : at + choose.randrange(8)] = b""
            case 1:
                changed[at:at] = choose.choice(_PIECES)
            case 2:
                changed[at : at + 1] = bytes([choose.randrange(256)])
            case _:
                other = choose.choice(_BODIES)
                changed[at:] = other[choose.randrange(len(other) + 1) :]
    return bytes(changed)


def fuzz(rounds: int, seed: int) -> int:
    """Throw frames at sessions; return how many were requests."""
    choose, accepted = random.Random(seed), 0
    bucket = Endless(0.0)
    hello = encode(Hello(seq=1, version=1))
    session = Session(bucket)
    for _ in range(rounds):
        body = mutate(choose, choose.choice(_BODIES))
        try:
            request = decode_request(body)
        except FrameError:
            pass
        else:
            accepted += 1
            assert encode(request)[LENGTH.size :] == body
        if session.state is State.CLOSED:
            session = Session(bucket)
            assert session.receive(hello, 0.0) == Hello(seq=1, version=1)
        found = session.receive(LENGTH.pack(len(body)) + body, 0.0)
        assert session.state is not State.BUSY or not isinstance(found, Refusal)
        if session.state is State.BUSY:
            session.answered()
    return accepted


@pytest.mark.requirement("SEC-001")
def test_thirty_thousand_hostile_frames_do_no_harm() -> None:
    assert fuzz(30_000, seed=1) > 50, "some must come through, or nothing was judged"


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_ten_million_hostile_frames_do_no_harm() -> None:
    assert fuzz(10_000_000, seed=2) > 10_000
