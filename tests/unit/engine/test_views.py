"""What is shown of a VM: what it was asked for from its record, what it is now from its leases."""

import os
from pathlib import Path

import pytest

from banger.engine.views import vm_view
from banger.host.pidfd import identify
from banger.model.action import Scope
from banger.model.digest import digest_of
from banger.model.errors import ConflictError, NotFoundError
from banger.model.vm import Forward, Sizes, VmRequest
from banger.store.journal import Lease
from banger.store.state import State, open_state

VM = "0" * 32
REQUEST = VmRequest(Sizes(2, 1024, 8 << 30), ports=[Forward(8080, 80)])


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = open_state(tmp_path)
    state.vms.add(VM, "box", REQUEST)
    hold(state, "vm.record", "box", Scope.VM)
    return state


def hold(state: State, node: str, value: object, scope: Scope = Scope.SESSION) -> None:
    state.journal.intend(
        Lease(
            id=f"{VM}/{node}",
            vm_id=VM,
            run_id=None,
            node=node,
            scope=scope,
            kind=node,
            version=1,
            digest=digest_of("test", node),
            params={},
            inputs={},
            boot_id="",
        )
    )
    state.journal.hold(f"{VM}/{node}", value)


@pytest.mark.requirement("DMN-023")
@pytest.mark.requirement("DMN-022")
def test_what_a_vm_is_running_as_comes_from_its_leases(state: State) -> None:
    record = state.vms.find("box")
    assert (vm_view(state, record, None).state, vm_view(state, record, None).pid) == ("stopped", None)
    ours = identify(os.getpid())
    assert ours
    running = {"pid": ours.pid, "start_ticks": ours.start_ticks, "boot_id": ours.boot_id, "accelerator": "tcg"}
    hold(state, "vm.boot", running)
    hold(
        state, "net.user", {"ssh_port": 40022, "mac": "02:00:00:00:00:02", "address": "127.77.1.2", "restricted": False}
    )
    view = vm_view(state, record, None)
    assert (view.state, view.pid, view.address) == ("running", os.getpid(), "127.77.1.2")
    assert view.ssh
    assert (view.ssh.port, view.ssh.host_key_alias) == (40022, f"banger-{VM}")
    assert view.ports == [Forward(8080, 80)]
    hold(state, "vm.boot", running | {"start_ticks": 1})
    assert (vm_view(state, record, None).state, vm_view(state, record, None).address) == ("failed", None)
    state.close()


def test_a_network_of_an_earlier_version_has_no_address(state: State) -> None:
    hold(state, "net.user", {"ssh_port": 40022, "mac": "02:00:00:00:00:02"})
    assert vm_view(state, state.vms.find("box"), None).address is None
    state.close()


def test_a_vm_is_called_something_else_whole_or_not_at_all(state: State) -> None:
    state.vms.add("1" * 32, "other", REQUEST)
    with pytest.raises(ConflictError, match="there is a VM called other already"):
        state.vms.change(VM, "other", REQUEST)
    with pytest.raises(NotFoundError):
        state.vms.change("2" * 32, "new", REQUEST)
    assert state.vms.names() == {"box", "other"}
    hold(state, "disk.work", {"file": "work.raw", "size_bytes": 8 << 30}, Scope.VM)
    state.vms.change(VM, "new", VmRequest(Sizes(4, 2048, 16 << 30)))
    assert state.vms.find("new").request.sizes == Sizes(4, 2048, 16 << 30)
    leases = {lease.node: lease.value for lease in state.journal.of_vm(VM)}
    assert leases == {"vm.record": "new", "disk.work": {"file": "work.raw", "size_bytes": 16 << 30}}
    state.close()
