"""A connection does one thing after another, or it is over."""

import pytest

from banger.worker.session import BUCKET_FILLS_PER_S, BUCKET_HOLDS, FRAME_DEADLINE_S, Bucket, Refusal, Session, State
from banger.worker.wire import VERSION, Hello, List, encode

HELLO = encode(Hello(seq=1, version=VERSION))


def new_session() -> Session:
    return Session(Bucket(0.0))


def ready_session() -> Session:
    session = new_session()
    assert session.receive(HELLO, 0.0) == Hello(seq=1, version=VERSION)
    assert session.state is State.READY
    return session


def test_it_says_hello_and_then_asks_one_thing_at_a_time() -> None:
    session = ready_session()
    for seq in (2, 3):
        assert session.receive(encode(List(seq=seq)), 1.0) == List(seq=seq)
        assert session.state is State.BUSY
        session.answered()


def test_a_frame_may_come_in_pieces() -> None:
    session = new_session()
    pieces = [HELLO[place : place + 1] for place in range(len(HELLO))]
    assert [session.receive(piece, 0.0) for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert session.receive(pieces[-1], 1.0) == Hello(seq=1, version=VERSION)


def test_a_frame_that_is_not_whole_in_time_ends_it() -> None:
    session = new_session()
    assert session.receive(HELLO[:3], 10.0) is None
    assert not session.is_late(10.0 + FRAME_DEADLINE_S)
    assert session.is_late(10.1 + FRAME_DEADLINE_S)
    assert session.receive(HELLO[3:5], 10.1 + FRAME_DEADLINE_S) == Refusal(0, "malformed")
    assert session.state is State.CLOSED


def test_who_is_silent_is_not_late() -> None:
    assert not ready_session().is_late(1e9)


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (encode(List(seq=2)), Refusal(2, "order")),
        (encode(Hello(seq=2, version=VERSION)), Refusal(2, "order")),
        (encode(Hello(seq=1, version=VERSION + 1)), Refusal(1, "version")),
        (HELLO + HELLO[:1], Refusal(0, "malformed")),
        (b"\0\0\0\0", Refusal(0, "malformed")),
        (b"\0\0\0\2{}", Refusal(0, "malformed")),
        (b"GET / HTTP/1.1\r\n", Refusal(0, "malformed")),
        (b'\0\0\0\x10{"op":"x","seq":1}'[:4].replace(b"\x10", b"\x12") + b'{"op":"x","seq":1}', Refusal(1, "unknown")),
    ],
)
def test_whoever_does_not_say_hello_is_cut_off(data: bytes, refusal: Refusal) -> None:
    session = new_session()
    assert session.receive(data, 0.0) == refusal
    assert session.state is State.CLOSED


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (encode(List(seq=1)), Refusal(1, "order")),
        (encode(List(seq=3)), Refusal(3, "order")),
        (encode(Hello(seq=2, version=VERSION)), Refusal(2, "order")),
        (b'\0\0\0\x12{"op":"x","seq":3}', Refusal(3, "unknown")),
        (encode(List(seq=2)) * 2, Refusal(0, "malformed")),
    ],
)
def test_whoever_asks_out_of_turn_is_cut_off(data: bytes, refusal: Refusal) -> None:
    session = ready_session()
    assert session.receive(data, 0.0) == refusal
    assert session.state is State.CLOSED


def test_an_op_of_another_version_is_refused_and_the_connection_goes_on() -> None:
    session = ready_session()
    assert session.receive(b'\0\0\0\x12{"op":"x","seq":2}', 0.0) == Refusal(2, "unknown", closes=False)
    assert session.receive(encode(List(seq=3)), 0.0) == List(seq=3)


def test_a_flood_is_cut_off_and_time_lets_more_in() -> None:
    bucket = Bucket(0.0)
    assert all(bucket.take(0.0) for _ in range(BUCKET_HOLDS))
    session = Session(bucket)
    assert session.receive(HELLO, 0.0) == Refusal(0, "rate")
    assert [bucket.take(1.0) for _ in range(int(BUCKET_FILLS_PER_S) + 1)] == [True] * int(BUCKET_FILLS_PER_S) + [False]


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    bucket = Bucket(100.0)
    assert all(bucket.take(0.0) for _ in range(BUCKET_HOLDS))
    assert not bucket.take(0.0)


def test_a_move_that_is_not_in_the_table_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        new_session().move(State.BUSY)
    session = ready_session()
    with pytest.raises(AssertionError):
        session.answered()
    session.receive(b"\0\0\0\0", 0.0)
    with pytest.raises(AssertionError):
        session.receive(b"\0\0\0\0", 0.0)
