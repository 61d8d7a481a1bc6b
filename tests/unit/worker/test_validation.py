"""Names follow from ids, and what types cannot say is checked."""

from ipaddress import IPv4Address, IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.tasks.net_user import mac_address as owners_mac_address
from banger.worker.validation import (
    LONGEST_LINK_NAME,
    RefusedError,
    check_destinations,
    choose_slot,
    instance_of,
    mac_address,
    tap_name,
)
from banger.worker.wire import Destination

NETWORK = IPv4Network("172.29.0.0/24")
vm_ids = st.text("0123456789abcdef", min_size=32, max_size=32)


def test_every_name_of_an_instance_fits_the_kernel_and_differs_from_another_owners() -> None:
    one, other = instance_of(1000, NETWORK), instance_of(1001, NETWORK)
    assert len(one.bridge) <= LONGEST_LINK_NAME
    for name in ("id", "bridge", "bridge_mac", "table", "mark"):
        assert getattr(one, name) != getattr(other, name)
    assert one.tap_mark("a" * 32) == f"{one.mark}:{'a' * 32}"
    assert one.gateway == IPv4Address("172.29.0.1")


@pytest.mark.parametrize("network", ["8.8.8.0/24", "10.0.0.0/8", "10.0.0.0/30"])
def test_a_network_that_is_not_private_or_of_no_use_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match="not a private network"):
        instance_of(0, IPv4Network(network))


@given(vm_ids)
def test_a_vm_s_names_are_names_of_the_kernel_s(vm: str) -> None:
    assert len(tap_name(vm)) <= LONGEST_LINK_NAME
    assert mac_address(vm) == owners_mac_address(vm)
    assert int(mac_address(vm)[:2], 16) & 3 == 2


@given(vm_ids, st.frozensets(st.integers(0, 249), max_size=249))
def test_a_slot_is_free_and_has_an_address_of_its_own(vm: str, taken: frozenset[int]) -> None:
    instance = instance_of(0, NETWORK)
    slot = choose_slot(vm, taken, instance.slots)
    assert slot not in taken
    assert instance.address(slot) in NETWORK
    assert instance.address(slot) not in {NETWORK[0], NETWORK[-1], instance.gateway}


def test_the_same_vm_has_the_same_slot_and_the_last_is_the_last() -> None:
    vm = "f" * 32
    slot = choose_slot(vm, frozenset(), 5)
    assert choose_slot(vm, frozenset({0} - {slot}), 5) == slot
    with pytest.raises(RefusedError, match="quota"):
        choose_slot(vm, frozenset(range(5)), 5)


def test_a_small_network_has_few_slots_and_a_large_one_no_more_than_there_may_be() -> None:
    assert instance_of(0, IPv4Network("10.0.0.0/29")).slots == 5
    assert instance_of(0, IPv4Network("10.0.0.0/16")).slots == 250


def to(network: str, protocol: str = "tcp", first: int = 1, last: int = 65535) -> Destination:
    found = ip_network(network)
    return Destination(int(found.network_address), found.prefixlen, protocol, first, last)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("allow", "code"),
    [
        ((), None),
        ((to("0.0.0.0/0"),), None),
        ((to("10.0.0.0/8"), to("10.1.0.0/16", "udp"), to("11.0.0.0/8")), None),
        ((to("10.0.0.0/8", last=80), to("10.1.0.0/16", first=81)), None),
        ((to("10.1.0.0/16", first=81), to("10.0.0.0/8", last=80)), None),
        ((to("10.0.0.0/8"), to("10.1.0.0/16")), "overlap"),
        ((to("10.1.2.3/32"), to("0.0.0.0/0", first=5, last=5)), "overlap"),
        ((to("10.0.0.0/8", first=2, last=1),), "malformed"),
        ((Destination(0x0A000001, 8, "tcp", 1, 1),), "malformed"),
    ],
)
def test_destinations_that_a_set_cannot_hold_are_refused(allow: tuple[Destination, ...], code: str | None) -> None:
    if code is None:
        check_destinations(allow)
    else:
        with pytest.raises(RefusedError, match=code):
            check_destinations(allow)
