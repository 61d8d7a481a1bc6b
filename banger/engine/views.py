"""What there is, as it is shown: VMs."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from banger.host.login_key import login_key
from banger.host.pidfd import ProcessIdentity, is_alive
from banger.model.errors import BangerError
from banger.model.vm import SshEndpoint, VmView
from banger.store.journal import Lease
from banger.store.state import State
from banger.store.vms import VmRecord
from banger.vm import CONSOLE_LOG
from banger.vm.lifecycle import VmState


def vm_state(leases: Iterable[Lease]) -> tuple[VmState, ProcessIdentity | None]:
    """State of a VM that no operation works on, and its VMM's process if that lives."""
    by_node = {lease.node: lease for lease in leases}
    record = by_node.get("vm.record")
    if record is None or record.run_id is not None:
        return VmState.CREATING, None
    if record.state == "releasing":
        return VmState.DELETING, None
    boot = _vmm_lease(by_node)
    if boot is None:
        return VmState.STOPPED, None
    if not isinstance(boot.value, dict):
        return VmState.FAILED, None
    process = ProcessIdentity(boot.value["pid"], boot.value["start_ticks"], boot.value["boot_id"])
    return (VmState.RUNNING, process) if is_alive(process) else (VmState.FAILED, None)


def _vmm_lease(leases: Mapping[str, Lease]) -> Lease | None:
    return leases.get("vm.boot") or leases.get("vm.restore")


def vm_view(state: State, record: VmRecord, busy: VmState | None) -> VmView:
    """A VM as it is shown. `busy`: what an operation is doing to it."""
    leases = {lease.node: lease for lease in state.journal.of_vm(record.id)}
    found, process = vm_state(leases.values())
    shown = busy or found
    running = process is not None and shown is VmState.RUNNING
    problems = []
    if found is VmState.FAILED and busy is None:
        problems.append("its VMM ended without being asked to")
    boot = _vmm_lease(leases)
    workspace = record.request.workspace
    return VmView(
        id=record.id,
        name=record.name,
        state=str(shown),
        image=record.request.image,
        sizes=record.request.sizes,
        created_at=record.created_at,
        accelerator=boot.value.get("accelerator") if boot and isinstance(boot.value, dict) else None,
        pid=process.pid if process else None,
        ssh=_ssh_endpoint(state, record, leases) if running else None,
        workspace=workspace.path if workspace else None,
        console_log=str(state.vms_dir / record.id / CONSOLE_LOG),
        problems=problems,
        address=own_address(leases.values()) if running else None,
        nat=record.request.nat,
        ports=record.request.ports,
        forked_from=record.request.forked_from,
    )


def own_address(leases: Iterable[Lease]) -> str | None:
    """A running VM's own address: on loopback, or on the bridge."""
    for lease in leases:
        if lease.node in {"net.user", "net.tap"} and isinstance(lease.value, dict):
            return lease.value.get("address") or None
    return None


def _ssh_endpoint(state: State, record: VmRecord, leases: dict[str, Lease]) -> SshEndpoint | None:
    net = leases.get("net.tap") or leases.get("net.user")
    if net is None or not isinstance(net.value, dict):
        return None
    return SshEndpoint(
        host=net.value["address"] if net.node == "net.tap" else "127.0.0.1",
        port=net.value["ssh_port"],
        user="root",
        identity_file=str(_login_key(state)),
        known_hosts_file=str(state.vms_dir / record.id / "known_hosts"),
        host_key_alias=f"banger-{record.id}",
    )


def _login_key(state: State) -> Path:
    try:
        return login_key(state.client_key)
    except BangerError:  # a VM is shown whatever is wrong with the configuration
        return state.client_key
