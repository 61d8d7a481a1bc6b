"""Answers of a guest: closed types, bounded numbers, and text that a terminal cannot be attacked with."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.guest import protocol
from banger.guest.protocol import Health, Identity, Network, Ports, Refusal, Stages, decode_answer, printable
from banger.model.errors import GuestError

HEALTH: dict[str, Any] = {
    "version": "0.1.0",
    "uptime_ns": 5,
    "ssh": "off",
    "network_up": True,
    "stages_ns": {"init": 1, "root": 2},
    "failure": "",
}


def body(**changes: object) -> bytes:
    return json.dumps({**HEALTH, **changes}).encode()


def test_a_health_answer_is_read() -> None:
    health = decode_answer(body(), Health)
    assert health.stages_ns == Stages(init=1, root=2)
    assert health.ssh is protocol.SshState.OFF


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        body(extra=1),
        body(uptime_ns=-1),
        body(uptime_ns=2**64),
        body(uptime_ns="5"),
        body(ssh="maybe"),
        body(network_up=1),
        body(stages_ns={"init": None, "surprise": 3}),
        b"[" * 60000,
    ],
)
def test_an_answer_of_the_wrong_shape_is_a_guest_error(wrong: bytes) -> None:
    with pytest.raises(GuestError, match="no health"):
        decode_answer(wrong, Health)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_a_guest_error(data: bytes) -> None:
    for kind in (Health, Ports, Refusal, protocol.Welcome, protocol.GuestTime):
        with contextlib.suppress(GuestError):
            decode_answer(data, kind)


def test_an_error_about_an_answer_is_printable_too() -> None:
    with pytest.raises(GuestError) as raised:
        decode_answer(b'{"code":"a","message":"b","\x1b[2J":1}', Refusal)
    assert raised.value.message.isprintable()


@given(st.text(max_size=80))
def test_guest_text_never_holds_a_character_that_a_terminal_acts_on(text: str) -> None:
    assert printable(text).isprintable()
    refusal = decode_answer(json.dumps({"code": text, "message": text}).encode(), Refusal)
    assert refusal.code.isprintable()
    assert refusal.message.isprintable()


def test_a_process_name_in_utf8_is_shown_as_it_is() -> None:
    escaped = "".join(f"\\u{byte:04x}" for byte in "señor".encode())
    listener = f'{{"address":"::","port":1,"pid":2,"process":"{escaped}","command":"a\\u001b[2Jb"}}'
    ports = decode_answer(f'{{"listeners":[{listener}],"truncated":false}}'.encode(), Ports)
    assert ports.listeners[0].process == "señor"
    assert ports.listeners[0].command == "a\N{REPLACEMENT CHARACTER}[2Jb"


def identity(**changes: Any) -> Identity:
    known = {"hostname": "box", "host_key": "SECRET", "host_public_key": "pub\n", "authorized_key": "key\n"}
    return Identity(**{**known, "seed": b"s" * 64, **changes})


def test_an_identity_shows_none_of_its_secrets() -> None:
    assert "SECRET" not in repr(identity())
    assert "ssss" not in str(identity())


def test_optional_fields_of_an_identity_are_sent_only_if_they_are_there() -> None:
    bare = protocol.encode_identity(identity())
    full = protocol.encode_identity(identity(machine_id="0" * 32, network=Network(mac=b"\x52\x54\0\0\0\1")))
    assert len(full) == len(bare) + 4 + 32 + 4 + 6


def test_fields_are_framed_by_tag_and_length() -> None:
    assert protocol.encode_deadline(2.5) == bytes.fromhex("0003 0004 000009c4")
    assert protocol.encode_time(1) == bytes.fromhex("0002 0008 0000000000000001")


@pytest.mark.parametrize(("seconds", "tail"), [(-1.0, "00000000"), (1e12, "ffffffff")])
def test_a_deadline_out_of_range_is_clipped(seconds: float, tail: str) -> None:
    assert protocol.encode_deadline(seconds)[4:].hex() == tail
