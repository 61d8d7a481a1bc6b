"""Frames survive any stream: what goes in comes out, garbage costs only itself, and nothing makes a reader grow."""

import random

from hypothesis import given
from hypothesis import strategies as st

from banger.guest.frames import DELIMITER, FRAME_LARGEST_BYTES, Frame, FrameDecoder, encode_frame

FRAMES = st.builds(
    Frame,
    type=st.integers(0, 255),
    request=st.integers(0, 2**32 - 1),
    body=st.binary(max_size=1200),
    channel=st.integers(0, 65535),
    version=st.integers(0, 255),
)
HELD_LARGEST_BYTES = FRAME_LARGEST_BYTES + 1024


def decode(data: bytes) -> list[Frame]:
    return list(FrameDecoder().feed(data))


@given(st.lists(FRAMES, max_size=5), st.integers(1, 300))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(frames: list[Frame], chunk: int) -> None:
    stream = b"".join(encode_frame(frame) for frame in frames)
    decoder = FrameDecoder()
    came = [frame for at in range(0, len(stream), chunk) for frame in decoder.feed(stream[at : at + chunk])]
    assert came == frames
    assert decoder.discarded_bytes == 0


@given(FRAMES)
def test_an_encoded_frame_has_its_only_zero_at_its_end(frame: Frame) -> None:
    assert encode_frame(frame).index(0) == len(encode_frame(frame)) - 1


def test_runs_around_the_block_size_are_kept() -> None:
    for length in (0, 1, 241, 242, 243, 253, 254, 255, 507, 508, 509, FRAME_LARGEST_BYTES - 12):
        for body in (b"x" * length, b"\0" * length, (b"x" * 254 + b"\0") * (length // 255)):
            assert decode(encode_frame(Frame(1, 2, body))) == [Frame(1, 2, body)]


@given(st.binary(max_size=400), FRAMES)
def test_after_garbage_and_a_delimiter_the_next_frame_is_read(garbage: bytes, frame: Frame) -> None:
    assert decode(garbage + DELIMITER + encode_frame(frame))[-1] == frame


@given(FRAMES, FRAMES, st.data())
def test_a_cut_frame_is_dropped_and_the_next_one_read(cut: Frame, frame: Frame, data: st.DataObject) -> None:
    whole = encode_frame(cut)
    half = whole[: data.draw(st.integers(0, len(whole) - 2))]
    assert decode(half + DELIMITER + encode_frame(frame)) == [frame]


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_garbage_never_raises(chunks: list[bytes]) -> None:
    decoder = FrameDecoder()
    for chunk in chunks:
        list(decoder.feed(chunk))


def test_a_stream_without_delimiters_is_not_kept() -> None:
    decoder = FrameDecoder()
    noise = random.Random(1).randbytes(65536).replace(b"\0", b"\1")
    for _ in range(64):
        assert list(decoder.feed(noise)) == []
        assert decoder.pending_bytes <= HELD_LARGEST_BYTES
    assert decoder.discarded_bytes >= 63 * len(noise)
    assert list(decoder.feed(DELIMITER + encode_frame(Frame(1, 2)))) == [Frame(1, 2)]


def test_a_frame_whose_length_field_is_wrong_is_dropped() -> None:
    good = bytearray(encode_frame(Frame(1, 2, b"abc")))
    at = good.index(b"\x05\x03abc")  # a COBS block: its code, the last byte of the length, the body
    good[at + 1] = 4
    assert decode(bytes(good)) == []
