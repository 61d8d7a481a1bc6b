"""Which network a VM gets follows from the host, and its template does not."""

import dataclasses

import pytest

from banger.model.handles import UserNet
from banger.model.vm import Forward, Sizes, VmRequest
from banger.plan import Plan
from banger.plan.create import plan_create
from banger.plan.machine import HostFacts
from banger.plan.start import plan_start
from banger.tasks import Ref
from banger.tasks.net_nat import NetNat
from banger.vm import TapNetwork, UserNetwork
from banger.vm.session import boot_parameters, network_of

VM = "0" * 32
REQUEST = VmRequest(sizes=Sizes(vcpus=1, memory_mib=512, disk_bytes=1 << 30))
TAP = {"net.bridge", "net.tap", "net.nat"}


def plans(*, has_worker: bool) -> list[Plan]:
    host = HostFacts("boot", "vmm", "programs", "ssh-ed25519 AAAA user", has_worker=has_worker)
    return [
        plan_create(REQUEST, vm=VM, name="vm", host=host),
        plan_create(REQUEST, vm=VM, name="vm", host=host, from_template=True),
        plan_start(REQUEST, vm=VM, name="vm", host=host),
    ]


@pytest.mark.requirement("DMN-016")
def test_with_a_worker_a_vm_has_a_tap_and_without_one_it_is_behind_its_vmm() -> None:
    for plan in plans(has_worker=True):
        assert {name for name in plan.tasks if name.startswith("net.")} == TAP
    for plan in plans(has_worker=False):
        assert {name for name in plan.tasks if name.startswith("net.")} == {"net.user"}


def test_a_vm_without_nat_has_a_place_on_the_bridge_and_no_way_out() -> None:
    host = HostFacts("boot", "vmm", "programs", "ssh-ed25519 AAAA user", has_worker=True)
    request = dataclasses.replace(REQUEST, nat=False)
    plan = plan_create(request, vm=VM, name="vm", host=host)
    assert plan.tasks["net.nat"] == NetNat(vm=VM, egress=False, peers=False, net=Ref("net.tap"))


def test_a_vm_with_ports_of_the_host_stays_behind_its_vmm() -> None:
    host = HostFacts("boot", "vmm", "programs", "ssh-ed25519 AAAA user", has_worker=True)
    request = dataclasses.replace(REQUEST, ports=[Forward(8080, 80)])
    plan = plan_create(request, vm=VM, name="vm", host=host)
    assert {name for name in plan.tasks if name.startswith("net.")} == {"net.user", "net.forward"}


def test_the_vmm_is_started_after_the_rules_and_so_is_ended_before_they_go() -> None:
    for plan in plans(has_worker=True):
        vmm = next(node for node in plan.nodes if node.id in {"vm.boot", "vm.restore"})
        assert "net.nat" in vmm.after
        assert vmm.inputs["net"] == "net.tap"


def test_a_template_is_the_same_whatever_network_its_vms_get() -> None:
    one, other = (plans(has_worker=has)[1] for has in (False, True))
    assert one.tasks["vm.template"] == other.tasks["vm.template"]


def test_a_guest_is_told_its_own_address_or_that_of_the_user_network() -> None:
    tap = UserNet(
        22,
        "02:00:00:00:00:01",
        "172.29.0.5",
        tap="bt-01234567",
        prefix=24,
        gateway="172.29.0.1",
        name_server="192.0.2.53",
    )
    user = UserNet(40022, "02:00:00:00:00:01", "127.1.2.3")
    assert boot_parameters(tap)[-1] == "banger.net=172.29.0.5/24,172.29.0.1,192.0.2.53"
    assert boot_parameters(user)[-1] == "banger.net=10.0.2.15/24,10.0.2.2,10.0.2.3"
    assert (network_of(tap), network_of(user)) == (TapNetwork(tap.tap, tap.mac), UserNetwork(40022, user.mac))
    assert (tap.ssh_host, user.ssh_host) == ("172.29.0.5", "127.0.0.1")
