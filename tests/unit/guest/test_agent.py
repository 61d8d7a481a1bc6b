"""The real agent, under AddressSanitizer and UBSan: what it answers, what it writes, and that no bytes hurt it."""

import os
import random
import socket
import stat
import struct
from pathlib import Path

import pytest

from banger.guest.channel import AgentChannel, AgentRefusalError
from banger.guest.frames import Frame, FrameDecoder, encode_frame
from banger.guest.protocol import Event, Identity, Request, SshState, Tag, encode_fields
from banger.model.errors import DeadlineError
from tests.unit.guest.conftest import StartAgent

HOST_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nQUJD\n-----END OPENSSH PRIVATE KEY-----\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI banger"
LISTENING = 2
pytestmark = pytest.mark.anyio


def identity(**changes: object) -> Identity:
    fields = {
        "hostname": "box1",
        "host_key": HOST_KEY,
        "host_public_key": KEY,
        "authorized_key": KEY,
        "seed": b"s" * 64,
    }
    return Identity(**{**fields, **changes})  # type: ignore[arg-type]  # a table of good and bad values


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.requirement("AGT-002")
async def test_the_agent_answers_what_it_is_asked(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        health = await channel.healthz()
        assert health.ssh is SshState.OFF
        assert health.network_up
        assert health.stages_ns.root == 3
        assert health.stages_ns.identity is None
        assert (await channel.get_time()).time_ns == 1_700_000_000_000_000_000
        await channel.set_time(5)
        await channel.sync()


async def test_the_agent_reseeds_and_freezes_until_it_is_somebody(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        await channel.reseed(b"r" * 64)
        await channel.wait_network(deadline_s=10)
        await channel.freeze()
        await channel.identity(identity(work_bytes=1 << 34))


async def test_a_guest_that_is_somebody_is_not_frozen(start_agent: StartAgent) -> None:
    port, _, _ = start_agent(ssh=LISTENING)
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        with pytest.raises(AgentRefusalError) as refused:
            await channel.freeze()
    assert refused.value.reason == "not_pristine"


@pytest.mark.parametrize("seed", [b"short", b"x" * 513])
async def test_a_seed_of_a_wrong_length_is_refused(start_agent: StartAgent, seed: bytes) -> None:
    port, _, _ = start_agent()
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        with pytest.raises(AgentRefusalError):
            await channel.reseed(seed)


@pytest.mark.requirement("AGT-003")
@pytest.mark.requirement("AGT-005")
async def test_the_agent_lists_listeners_with_their_process(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
            found = {(one.address, one.port): one for one in (await channel.ports()).listeners}
        ours = found["127.0.0.1", server.getsockname()[1]]
        assert found["::1", six.getsockname()[1]].pid == os.getpid()
    assert ours.pid == os.getpid()
    assert "pytest" in ours.command or "python" in ours.command


async def test_an_identity_is_written_with_the_right_modes(start_agent: StartAgent) -> None:
    port, _, root = start_agent()
    (root / "etc/hosts").write_text("127.0.0.1\tlocalhost\n127.0.1.1\told\n10.0.0.9\tpeer")
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        await channel.identity(identity(machine_id="0" * 32))
    assert (root / "run/banger/ssh_host_ed25519_key").read_text() == HOST_KEY
    assert mode(root / "run/banger/ssh_host_ed25519_key") == 0o600
    assert (root / "root/.ssh/authorized_keys").read_text() == KEY + "\n"
    assert mode(root / "root/.ssh/authorized_keys") == 0o600
    assert mode(root / "root/.ssh") == 0o700
    assert mode(root / "root") == 0o755
    assert (root / "etc/hostname").read_text() == "box1\n"
    assert (root / "etc/hosts").read_text() == "127.0.0.1\tlocalhost\n10.0.0.9\tpeer\n127.0.1.1\tbox1\n"
    assert (root / "etc/machine-id").read_text() == "0" * 32 + "\n"


@pytest.mark.requirement("DSK-009")
@pytest.mark.parametrize("existing", ["ssh-rsa AAAA me@home", "# note\nssh-rsa AAAA me@home\n", f"{KEY}x\n"])
async def test_existing_authorized_keys_are_kept(start_agent: StartAgent, existing: str) -> None:
    port, _, root = start_agent()
    (root / "root/.ssh").mkdir()
    (root / "root/.ssh/authorized_keys").write_text(existing)
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        await channel.identity(identity())
        await channel.identity(identity())
    assert (root / "root/.ssh/authorized_keys").read_text() == existing.rstrip("\n") + "\n" + KEY + "\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"hostname": "Box"},
        {"hostname": "-box"},
        {"hostname": "a.b"},
        {"hostname": "a\nb"},
        {"authorized_key": KEY + "\n" + KEY},
        {"host_key": "x" * 100},
        {"seed": b"short"},
        {"machine_id": "Z" * 32},
        {"host_key": HOST_KEY + "\x07" * 40},
    ],
)
async def test_a_wrong_identity_is_refused(start_agent: StartAgent, wrong: dict[str, object]) -> None:
    port, _, _ = start_agent()
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        with pytest.raises(AgentRefusalError) as refused:
            await channel.identity(identity(**wrong))
    assert refused.value.reason == "bad_request"


async def test_a_wait_for_ssh_ends_at_its_deadline_and_blocks_nobody(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        with pytest.raises(DeadlineError, match="SSH"):
            await channel.wait_ssh(deadline_s=0.2)
        await channel.healthz()


async def test_a_wait_for_ssh_that_listens_ends_at_once(start_agent: StartAgent) -> None:
    port, _, _ = start_agent(ssh=LISTENING)
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        await channel.wait_ssh(deadline_s=5)


async def test_an_image_without_sshd_is_told_at_once(start_agent: StartAgent) -> None:
    port, _, _ = start_agent(ssh=1)
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        with pytest.raises(AgentRefusalError, match="no /usr/sbin/sshd"):
            await channel.wait_ssh(deadline_s=60)


async def test_half_a_frame_does_not_poison_the_next_host(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    port.sendall(encode_frame(Frame(Request.HEALTHZ, 1, b"x" * 5000))[:2000])
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        await channel.healthz()


async def test_answers_to_the_host_before_are_not_taken_for_ours(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    nonce = encode_fields({Tag.NONCE: b"n" * 16})
    port.sendall(b"\0" + encode_frame(Frame(Request.HELLO, 1, nonce)) + encode_frame(Frame(Request.PORTS, 2)) * 5)
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        await channel.healthz()


def refusal_of(port: socket.socket, frame: Frame) -> bytes:
    decoder = FrameDecoder()
    port.settimeout(10)
    port.sendall(encode_frame(frame))
    while True:
        for answer in decoder.feed(port.recv(65536)):
            if answer.type == Event.STARTED:
                continue
            assert answer.type == 0xFF
            assert answer.request == frame.request
            return answer.body


def test_a_request_before_hello_is_refused(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    assert b"no_hello" in refusal_of(port, Frame(Request.HEALTHZ, 7))


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(200, 7), b"unknown"),
        (Frame(0, 7), b"unknown"),
        (Frame(Request.HEALTHZ, 7, channel=1), b"channel"),
        (Frame(Request.HEALTHZ, 7, version=3), b"version"),
        (Frame(Request.HEALTHZ, 7, b"\0\1\0\0"), b"bad_request"),
        (Frame(Request.SET_TIME, 7), b"bad_request"),
        (Frame(Request.SET_TIME, 7, struct.pack(">HHQ", 2, 9, 1)), b"bad_request"),
        (Frame(Request.SET_TIME, 7, struct.pack(">HHQ", 2, 8, 1) * 2), b"bad_request"),
        (Frame(Request.SET_TIME, 7, struct.pack(">HHQ", 99, 8, 1)), b"bad_request"),
        (Frame(Request.SET_TIME, 7, b"\0"), b"bad_request"),
    ],
)
def test_a_frame_the_agent_does_not_know_is_refused(start_agent: StartAgent, frame: Frame, code: bytes) -> None:
    port, _, _ = start_agent()
    port.settimeout(10)
    port.sendall(encode_frame(Frame(Request.HELLO, 1, encode_fields({Tag.NONCE: b"n" * 16}))))
    while b"nonce" not in port.recv(4096):
        pass
    assert b'"' + code + b'"' in refusal_of(port, frame)


def garbage(rng: random.Random) -> bytes:
    """Return bytes that get past the framing more often than noise would."""
    kind = rng.choice((*Request, 0, 0x81, 255))
    fields = b"".join(
        struct.pack(">HH", rng.randrange(16), rng.choice((0, 4, 8, 16, 32, 64, 65535)))
        + rng.randbytes(rng.randrange(80))
        for _ in range(rng.randrange(6))
    )
    match rng.randrange(4):
        case 0:
            return rng.randbytes(rng.randrange(3000))
        case 1:
            return bytes(rng.choices((0, 1, 2, 254, 255), k=rng.randrange(3000)))
        case 2:
            data = bytearray(encode_frame(Frame(kind, rng.randrange(9), fields)))
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            return bytes(data)
        case _:
            return encode_frame(Frame(kind, rng.randrange(9), fields, channel=rng.choice((0, 0, 0, 5))))


@pytest.mark.parametrize("seed", range(4))
async def test_garbage_neither_crashes_nor_deafens_the_agent(start_agent: StartAgent, seed: int) -> None:
    rng = random.Random(seed)
    port, process, _ = start_agent()
    port.setblocking(False)
    nonce = encode_fields({Tag.NONCE: b"n" * 16})
    for _ in range(1500):
        for data in (garbage(rng), encode_frame(Frame(Request.HELLO, 1, nonce))):
            pending = data
            while pending:
                try:
                    pending = pending[port.send(pending) :]
                except BlockingIOError:
                    drain(port)
    assert process.poll() is None
    async with await AgentChannel.from_socket(port, deadline_s=20) as channel:
        await channel.healthz()


def drain(port: socket.socket) -> None:
    try:
        while port.recv(65536):
            pass
    except BlockingIOError:
        return


async def test_a_frame_of_the_largest_size_and_one_beyond_it(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    port.settimeout(10)
    port.sendall(b"\0" + b"\xff" * 300_000 + b"\0")
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        await channel.healthz()
