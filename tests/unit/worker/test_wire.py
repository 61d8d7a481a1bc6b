"""What crosses to root has one spelling; everything else is refused, whatever a lenient reader would make of it."""

import json

import pytest

from banger.worker import wire

VM = "0123456789abcdef" * 2
REQUESTS: list[wire.AnyRequest] = [
    wire.Hello(seq=1, version=wire.VERSION),
    wire.HoldBridge(seq=2, vm=VM),
    wire.HoldTap(seq=3, vm=VM),
    wire.HoldNat(
        seq=4, vm=VM, egress=False, peers=True, allow=(wire.Destination(0x0A000000, 8, "tcp", 443, 443),)
    ),
    wire.Release(seq=5, kind="nat", vm=VM),
    wire.Probe(seq=6, kind="tap", vm=VM),
    wire.List(seq=7),
]  # fmt: skip
REPLIES: list[wire.AnyReply] = [
    wire.Welcome(seq=1, version=1, instance="01234567"),
    wire.Done(seq=2),
    wire.Attached(seq=3, tap="bt-01234567", mac="02:00:00:00:00:01", address="10.0.0.2", prefix=24, gateway="10.0.0.1"),
    wire.Alive(seq=4, alive=True),
    wire.Leases(seq=5, held=(wire.Held("tap", VM),)),
    wire.Refused(seq=6, code="kernel", errno=16),
]


def content(message: wire.AnyRequest | wire.AnyReply) -> bytes:
    return wire.encode(message)[wire.LENGTH.size :]


@pytest.mark.parametrize("message", REQUESTS, ids=lambda one: type(one).__name__)
@pytest.mark.requirement("DMN-008")
def test_a_request_comes_out_as_it_went_in(message: wire.AnyRequest) -> None:
    assert wire.decode_request(content(message)) == message


@pytest.mark.parametrize("message", REPLIES, ids=lambda one: type(one).__name__)
def test_a_reply_comes_out_as_it_went_in(message: wire.AnyReply) -> None:
    assert wire.decode_reply(content(message)) == message


def test_a_message_too_large_for_a_frame_is_not_sent() -> None:
    held = tuple(wire.Held("bridge", VM) for _ in range(2000))
    with pytest.raises(wire.FrameError):
        wire.encode(wire.Leases(seq=1, held=held))


def test_all_that_an_instance_can_hold_fits_one_frame() -> None:
    held = tuple(wire.Held(kind, VM) for kind in ("bridge", "tap", "nat") for _ in range(250))
    assert len(wire.encode(wire.Leases(seq=1, held=held))) <= wire.LARGEST_FRAME


HOSTILE = {
    "a path for an id": b'{"op":"net.tap","seq":1,"vm":"../../../../../../../../etc/passwd"}',
    "an id too short": b'{"op":"net.tap","seq":1,"vm":"0123"}',
    "an id too long": b'{"op":"net.tap","seq":1,"vm":"%s"}' % (b"a" * 33),
    "an id and a newline": b'{"op":"net.tap","seq":1,"vm":"%s\\n"}' % (b"a" * 32),
    "an id in capitals": b'{"op":"net.tap","seq":1,"vm":"%s"}' % (b"A" * 32),
    "an id of other digits": b'{"op":"net.tap","seq":1,"vm":"%s"}' % ("\u0661" * 32).encode(),
    "an id with a NUL": b'{"op":"net.tap","seq":1,"vm":"%s\\u0000"}' % (b"a" * 31),
    "an id spelt with an escape": b'{"op":"net.tap","seq":1,"vm":"\\u0061%s"}' % (b"a" * 31),
    "no id": b'{"op":"net.tap","seq":1}',
    "a number for an id": b'{"op":"net.tap","seq":1,"vm":1}',
    "a name of an interface": b'{"op":"net.tap","seq":1,"vm":"%s","tap":"eth0"}' % VM.encode(),
    "a key twice": b'{"op":"net.tap","seq":1,"vm":"%s","vm":"%s"}' % (VM.encode(), VM.encode()),
    "the op twice": b'{"op":"list","op":"list","seq":1}',
    "keys in another order": b'{"seq":1,"op":"list"}',
    "a space": b'{"op":"list", "seq":1}',
    "a space at the end": b'{"op":"list","seq":1} ',
    "two messages": b'{"op":"list","seq":1}{"op":"list","seq":2}',
    "no number": b'{"op":"list"}',
    "number 0": b'{"op":"list","seq":0}',
    "a negative number": b'{"op":"list","seq":-1}',
    "a huge number": b'{"op":"list","seq":%s}' % (b"9" * 400),
    "a fraction": b'{"op":"list","seq":1.0}',
    "an exponent": b'{"op":"list","seq":1e0}',
    "a truth for a number": b'{"op":"list","seq":true}',
    "a number for a truth": b'{"op":"net.nat","seq":1,"vm":"%s","egress":1,"peers":false,"allow":[]}' % VM.encode(),
    "another kind": b'{"op":"probe","seq":1,"kind":"forward","vm":"%s"}' % VM.encode(),
    "deep": b'{"op":"list","seq":1,"x":%s%s}' % (b"[" * 20000, b"]" * 20000),
    "deep and open": b"[" * 60000,
    "a list": b"[1]",
    "nothing": b"null",
    "no JSON": b"\x00\xff\xfe",
    "broken UTF-8": b'{"op":"\xff","seq":1}',
    "a surrogate": b'{"op":"\\ud800","seq":1}',
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.requirement("SEC-001")
def test_a_hostile_frame_is_no_request(what: str) -> None:
    with pytest.raises(wire.FrameError):
        wire.decode_request(HOSTILE[what])


@pytest.mark.parametrize(
    "part",
    [
        {"network": -1}, {"network": 2**32}, {"network": "10.0.0.0"}, {"prefix": 33}, {"protocol": "icmp"},
        {"first_port": 0}, {"last_port": 65536}, {"comment": "x"},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_destination_out_of_bounds_is_refused(part: dict[str, object]) -> None:
    one = {"network": 0, "prefix": 0, "protocol": "tcp", "first_port": 1, "last_port": 1, **part}
    message = {"op": "net.nat", "seq": 1, "vm": VM, "egress": True, "peers": True, "allow": [one]}
    with pytest.raises(wire.FrameError):
        wire.decode_request(json.dumps(message, separators=(",", ":")).encode())


def test_more_destinations_than_there_may_be_are_refused() -> None:
    some = tuple(wire.Destination(0, 0, "tcp", port, port) for port in range(1, wire.MOST_DESTINATIONS + 2))
    with pytest.raises(wire.FrameError):
        wire.decode_request(content(wire.HoldNat(seq=1, vm=VM, egress=True, peers=True, allow=some)))


def test_an_op_that_is_not_known_says_so() -> None:
    with pytest.raises(wire.UnknownOpError) as caught:
        wire.decode_request(b'{"op":"vm.jail","seq":7}')
    assert caught.value.seq == 7


@pytest.mark.parametrize("body", [b"", b"{}", b'{"reply":"welcome","seq":1}', b"[" * 60000])
def test_what_is_no_reply_is_refused(body: bytes) -> None:
    with pytest.raises(wire.FrameError):
        wire.decode_reply(body)


def test_a_frame_is_taken_only_when_it_is_whole() -> None:
    frame = wire.encode(REQUESTS[0])
    for cut in range(len(frame)):
        assert wire.take_frame(bytearray(frame[:cut])) is None
    buffer = bytearray(frame + b"more")
    assert wire.take_frame(buffer) == content(REQUESTS[0])
    assert buffer == b"more"


@pytest.mark.parametrize("size", [0, wire.LARGEST_FRAME + 1, 2**32 - 1])
def test_a_length_that_cannot_be_is_refused_before_anything_is_kept_for_it(size: int) -> None:
    with pytest.raises(wire.FrameError):
        wire.take_frame(bytearray(wire.LENGTH.pack(size)))
