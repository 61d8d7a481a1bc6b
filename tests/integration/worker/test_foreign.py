"""What is not ours is not touched, whatever it is called; and what a lie in the state directory would gain."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from banger.worker.validation import instance_of
from banger.worker.wire import Done, HoldTap, Refused
from tests.fakes.netlab import NETWORK, OWNER, Lab, open_lab

pytestmark = [pytest.mark.root]
A, TWIN = "a" * 32, "a" * 8 + "b" * 24
INSTANCE = instance_of(OWNER, IPv4Network(NETWORK))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with open_lab(tmp_path) as lab:
        yield lab


def test_a_bridge_of_that_name_is_left_alone(lab: Lab) -> None:
    lab.host.sh(f"ip link add {INSTANCE.bridge} type bridge; ip link set {INSTANCE.bridge} alias mine")
    before = lab.host.objects()
    worker = lab.start_worker()
    assert worker.bridge(A) == Refused(seq=2, code="foreign")
    assert worker.release("bridge", A) == Done(seq=3)
    assert lab.host.objects() == before
    assert worker.held() == set()


@pytest.mark.parametrize("family", ["bridge", "inet"])
def test_a_table_of_that_name_is_left_alone_and_no_bridge_stays(lab: Lab, family: str) -> None:
    lab.host.sh(f"nft 'table {family} {INSTANCE.table} {{ chain mine {{ }}; }}'")
    before = lab.host.objects()
    worker = lab.start_worker()
    assert worker.bridge(A) == Refused(seq=2, code="foreign")
    assert lab.host.objects() == before


def test_a_tap_of_that_name_is_left_alone_and_so_is_another_vm_s(lab: Lab) -> None:
    lab.host.sh("ip tuntap add bt-aaaaaaaa mode tap")
    worker = lab.start_worker()
    worker.bridge(A)
    before = lab.host.objects()
    assert worker.ask(lambda seq: HoldTap(seq=seq, vm=A)) == Refused(seq=3, code="foreign")
    assert lab.host.objects() == before
    lab.host.sh("ip link delete bt-aaaaaaaa")
    worker.tap(A)
    during = lab.host.objects()
    worker.bridge(TWIN)
    reply = worker.ask(lambda seq: HoldTap(seq=seq, vm=TWIN))
    assert isinstance(reply, Refused)
    assert reply.code == "foreign"
    assert isinstance(worker.release("tap", TWIN), Done)
    assert lab.host.objects() == during


def test_a_tap_with_our_mark_that_nobody_wrote_down_is_removed_and_one_without_is_not(lab: Lab) -> None:
    lab.host.sh(
        f"ip tuntap add bt-aaaaaaaa mode tap; ip link set bt-aaaaaaaa alias {INSTANCE.tap_mark(A)};"
        " ip tuntap add bt-bbbbbbbb mode tap; ip link set bt-bbbbbbbb alias somebodys"
    )
    lab.start_worker()
    assert "bt-aaaaaaaa" not in lab.host.objects()
    assert "bt-bbbbbbbb" in lab.host.objects()


def test_forwarding_that_was_on_stays_on_and_is_not_ours(lab: Lab) -> None:
    lab.host.sh("sysctl -q net.ipv4.ip_forward=1")
    before = lab.host.objects()
    worker = lab.start_worker()
    worker.tap(A)
    worker.nat(A, egress=True)
    worker.release_all(A)
    assert lab.host.objects() == before


def test_a_network_that_somebody_has_already_is_not_made_again(lab: Lab) -> None:
    lab.host.sh("ip link add theirs type bridge; ip addr add 172.29.0.129/25 dev theirs; ip link set theirs up")
    before = lab.host.objects()
    worker = lab.start_worker()
    assert worker.bridge(A) == Refused(seq=2, code="foreign")
    assert lab.host.objects() == before
