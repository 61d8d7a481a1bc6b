"""What a VM's plan is made of: each part of the host that a VM takes is a node of its own, and is given back."""

from dataclasses import replace

import pytest

from banger.model.action import Flavour
from banger.model.verbs import VmChange
from banger.model.vm import Forward, Sizes, VmRequest
from banger.plan.create import plan_create
from banger.plan.machine import HostFacts
from banger.plan.start import plan_start
from banger.tasks.guest_identity import GuestIdentity
from banger.tasks.net_forward import NetForward
from banger.tasks.net_user import NetUser
from banger.tasks.vm_boot import VmBoot

VM = "0" * 32
HOST = HostFacts("boot", "vmm", "programs", "ssh-ed25519 AAAA banger")
REQUEST = VmRequest(Sizes(2, 1024, 8 << 30), name="box")


@pytest.mark.requirement("DMN-016")
def test_each_part_of_a_vm_is_a_node_with_its_own_undoing() -> None:
    graph = plan_create(replace(REQUEST, ports=[Forward(8080, 80)]), vm=VM, name="box", host=HOST).graph()
    parts = {
        "vm.record",
        "vm.directory",
        "disk.rootfs",
        "disk.work",
        "ssh.host_key",
        "net.user",
        "net.forward",
        "vm.boot",
    }
    effects = {name for name, node in graph.nodes.items() if node.action.flavour is Flavour.EFFECT}
    assert parts <= effects
    assert effects <= set(graph.release_of)


@pytest.mark.requirement("DMN-016")
def test_a_vm_without_forwards_has_no_node_for_them() -> None:
    assert "net.forward" not in plan_create(REQUEST, vm=VM, name="box", host=HOST).graph().nodes


@pytest.mark.requirement("DSK-003")
def test_network_disk_and_host_name_come_from_the_one_request() -> None:
    request = replace(REQUEST, nat=False, ports=[Forward(8080, 80)])
    tasks = plan_create(request, vm=VM, name="box", host=HOST).tasks
    assert isinstance(net := tasks["net.user"], NetUser)
    assert isinstance(forward := tasks["net.forward"], NetForward)
    assert isinstance(identity := tasks["guest.identity"], GuestIdentity)
    assert isinstance(boot := tasks["vm.boot"], VmBoot)
    assert (net.nat, forward.forwards) == (False, (Forward(8080, 80),))
    assert (identity.hostname, identity.authorized_key) == ("box", HOST.authorized_key)
    assert (boot.vcpus, boot.memory_mib) == (2, 1024)


@pytest.mark.requirement("SSH-008")
@pytest.mark.requirement("DSK-008")
def test_a_start_tells_the_guest_the_key_of_now_and_the_name_of_now() -> None:
    host = replace(HOST, authorized_key="ssh-ed25519 BBBB banger")
    tasks = plan_start(REQUEST, vm=VM, name="renamed", host=host).tasks
    assert isinstance(identity := tasks["guest.identity"], GuestIdentity)
    assert (identity.hostname, identity.authorized_key) == ("renamed", "ssh-ed25519 BBBB banger")
    assert "disk.work" not in tasks
    assert "disk.rootfs" not in tasks


@pytest.mark.requirement("AGT-009")
def test_a_vm_is_made_only_when_its_agent_has_answered() -> None:
    graph = plan_create(replace(REQUEST, wait_ssh=False), vm=VM, name="box", host=HOST).graph()
    assert graph.nodes["guest.agent"].action.flavour is Flavour.GATE


def test_only_what_a_change_names_is_changed() -> None:
    assert not VmChange(name="x").is_of_the_machine
    assert VmChange(nat=True).is_of_the_machine
