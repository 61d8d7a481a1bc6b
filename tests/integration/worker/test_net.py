"""Two guests, a host and a LAN, all with a real Linux's network: who reaches whom is what the rules say."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import pytest

from banger.worker.wire import Destination, Done, Refused
from tests.fakes.netlab import (
    LAN_ADDRESS,
    METADATA_ADDRESS,
    REFUSAL_S,
    WAY_OUT_ADDRESS,
    Guest,
    Lab,
    Worker,
    open_lab,
    wait_for,
)

pytestmark = [pytest.mark.root]
A, B = "a" * 32, "b" * 32
PORT, OTHER_PORT = 8080, 8081

_SEND_RAW = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind(("eth0", 0))
    for frame in sys.argv[1:]:
        raw.send(bytes.fromhex(frame))
"""


@dataclass
class World:
    lab: Lab
    worker: Worker
    a: Guest
    b: Guest


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_lab(tmp_path_factory.mktemp("lab")) as lab:
        worker = lab.start_worker()
        a, b = (lab.guest(worker.tap(vm)) for vm in (A, B))
        for place in (lab.host, lab.lan, a, b):
            place.serve(PORT)
        lab.lan.serve(OTHER_PORT)
        yield World(lab, worker, a, b)


@pytest.fixture(autouse=True)
def nothing_allowed(world: World) -> None:
    for vm in (A, B):
        assert isinstance(world.worker.release("nat", vm), Done)


@pytest.mark.requirement("NET-001")
@pytest.mark.requirement("NET-002")
def test_without_a_way_out_a_vm_reaches_nothing_and_the_host_reaches_it(world: World) -> None:
    for address in (LAN_ADDRESS, WAY_OUT_ADDRESS, world.a.attached.gateway, world.b.attached.address):
        assert world.a.reach(address, PORT, within_s=REFUSAL_S) is None
    assert world.lab.host.reach(world.a.attached.address, PORT) == world.a.attached.gateway


@pytest.mark.requirement("NET-002")
def test_with_a_way_out_a_vm_reaches_the_lan_as_the_host_and_nothing_that_is_closed(world: World) -> None:
    assert world.worker.nat(A, egress=True) == Done(seq=world.worker._seq)
    assert world.a.reach(LAN_ADDRESS, PORT) == WAY_OUT_ADDRESS
    for address in (METADATA_ADDRESS, WAY_OUT_ADDRESS, world.a.attached.gateway, world.b.attached.address):
        assert world.a.reach(address, PORT, within_s=REFUSAL_S) is None
    assert world.b.reach(LAN_ADDRESS, PORT, within_s=REFUSAL_S) is None
    assert world.lab.lan.reach(world.a.attached.address, PORT, within_s=REFUSAL_S) is None
    assert world.lab.host.reach(METADATA_ADDRESS, PORT) == WAY_OUT_ADDRESS, "it was there to be reached"


def test_only_what_is_allowed_is_reached(world: World) -> None:
    lan = Destination(int(IPv4Address(LAN_ADDRESS)), 32, "tcp", PORT, PORT)
    assert isinstance(world.worker.nat(A, allow=(lan,)), Done)
    assert world.a.reach(LAN_ADDRESS, PORT) == WAY_OUT_ADDRESS
    assert world.a.reach(LAN_ADDRESS, OTHER_PORT, within_s=REFUSAL_S) is None
    everywhere = Destination(0, 0, "tcp", 1, 65535)
    assert isinstance(world.worker.nat(A, allow=(everywhere,)), Done)
    assert world.a.reach(LAN_ADDRESS, OTHER_PORT) == WAY_OUT_ADDRESS
    for address in (METADATA_ADDRESS, WAY_OUT_ADDRESS, world.b.attached.address):
        assert world.a.reach(address, PORT, within_s=REFUSAL_S) is None


def test_two_vms_reach_each_other_only_when_both_have_said_so(world: World) -> None:
    assert isinstance(world.worker.nat(A, egress=True, peers=True), Done)
    assert world.a.reach(world.b.attached.address, PORT, within_s=REFUSAL_S) is None
    assert isinstance(world.worker.nat(B, peers=True), Done)
    assert world.a.reach(world.b.attached.address, PORT) == world.a.attached.address
    assert world.b.reach(world.a.attached.address, PORT) == world.b.attached.address


@pytest.mark.requirement("SEC-001")
def test_a_vm_is_heard_only_as_itself(world: World) -> None:
    for vm in (A, B):
        assert isinstance(world.worker.nat(vm, egress=True, peers=True), Done)
    mine, false = world.a.attached, "172.29.0.99"
    world.a.sh(f"ip addr add {false}/24 dev eth0; ip route replace default via {mine.gateway} src {false}")
    try:
        assert world.a.reach(LAN_ADDRESS, PORT, within_s=REFUSAL_S) is None
    finally:
        world.a.sh(f"ip route replace default via {mine.gateway}; ip addr del {false}/24 dev eth0")
    world.a.sh("ip link set eth0 address 02:00:00:00:00:99")
    try:
        assert world.a.reach(LAN_ADDRESS, PORT, within_s=REFUSAL_S) is None
    finally:
        world.a.sh(f"ip link set eth0 address {mine.mac}")
    assert world.a.reach(LAN_ADDRESS, PORT) == WAY_OUT_ADDRESS


def test_a_vm_cannot_claim_another_s_address_nor_the_gateway_s(world: World) -> None:
    for vm in (A, B):
        assert isinstance(world.worker.nat(vm, egress=True, peers=True), Done)
    assert world.b.reach(world.a.attached.address, PORT)
    mine = bytes.fromhex(world.a.attached.mac.replace(":", ""))
    victim = bytes.fromhex(world.b.attached.mac.replace(":", ""))
    gateway = IPv4Address(world.b.attached.gateway).packed
    target = IPv4Address(world.b.attached.address).packed
    reply = bytes.fromhex("0001080006040002")
    frames = [
        victim + mine + b"\x08\x06" + reply + mine + gateway + victim + target,
        victim + victim[:5] + b"\0" + b"\x08\x06" + reply + victim[:5] + b"\0" + gateway + victim + target,
    ]
    world.b.sh(f"ip neigh replace {world.b.attached.gateway} lladdr 02:00:00:00:00:77 dev eth0 nud stale")
    argv = world.a.argv(sys.executable, "-c", _SEND_RAW, *(frame.hex() for frame in frames * 3))
    subprocess.run(argv, check=True, timeout=30)
    assert "02:00:00:00:00:77" in world.b.sh(f"ip neigh show {world.b.attached.gateway}")
    world.lab.host.sh("nft flush ruleset")

    def believed() -> bool:
        """Whether the lie is heard where nothing guards; an entry is not replaced twice within a second."""
        subprocess.run(world.a.argv(sys.executable, "-c", _SEND_RAW, frames[0].hex()), check=True, timeout=30)
        return world.a.attached.mac in world.b.sh(f"ip neigh show {world.b.attached.gateway}")

    wait_for(believed)
    assert isinstance(world.worker.nat(A, egress=True, peers=True), Done)
    world.b.sh(f"ip neigh del {world.b.attached.gateway} dev eth0")
    assert world.b.reach(LAN_ADDRESS, PORT) == WAY_OUT_ADDRESS


def test_what_another_tool_has_flushed_is_put_back(world: World) -> None:
    assert isinstance(world.worker.nat(A, egress=True), Done)
    world.lab.host.sh("nft flush ruleset")
    assert not world.worker.alive("nat", A)
    assert not world.worker.alive("tap", B)
    assert isinstance(world.worker.nat(A, egress=True), Done)
    assert world.worker.alive("tap", B)
    assert world.a.reach(LAN_ADDRESS, PORT) == WAY_OUT_ADDRESS
    assert world.a.reach(world.b.attached.address, PORT, within_s=REFUSAL_S) is None


def test_what_is_asked_for_out_of_order_is_refused(world: World) -> None:
    assert isinstance(world.worker.nat(A, egress=True), Done)
    for reply in (world.worker.release("tap", A), world.worker.release("bridge", A), world.worker.nat("c" * 32)):
        assert isinstance(reply, Refused)
        assert reply.code == "order"


def test_a_worker_that_was_killed_is_followed_by_one_that_goes_on(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        before = lab.host.objects()
        worker = lab.start_worker()
        a = lab.guest(worker.tap(A))
        lab.lan.serve(PORT)
        worker.nat(A, egress=True)
        assert a.reach(LAN_ADDRESS, PORT) == WAY_OUT_ADDRESS
        during = lab.host.objects()
        worker.process.kill()
        worker.process.wait()
        assert a.reach(LAN_ADDRESS, PORT) == WAY_OUT_ADDRESS
        worker = lab.start_worker()
        assert lab.host.objects() == during
        assert worker.held() == {("bridge", A), ("tap", A), ("nat", A)}
        assert msgspec.structs.replace(worker.tap(A), seq=a.attached.seq) == a.attached
        worker.release_all(A)
        assert lab.host.objects() == before
        assert worker.stop() == 0
