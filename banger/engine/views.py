"""What there is, as it is shown: VMs, stage times."""

from collections.abc import Iterable
from statistics import median, quantiles

from banger.host.pidfd import ProcessIdentity, is_alive
from banger.model.views import BenchRow
from banger.model.vm import SshEndpoint, VmView
from banger.store.journal import Lease
from banger.store.runs import NodeRun
from banger.store.state import State
from banger.store.vms import VmRecord
from banger.vm import CONSOLE_LOG
from banger.vm.lifecycle import VmState

_NINE_TENTHS = 8  # index into nine cut points


def vm_state(leases: Iterable[Lease]) -> tuple[VmState, ProcessIdentity | None]:
    """State of a VM that no operation works on, and its VMM's process if that lives."""
    by_node = {lease.node: lease for lease in leases}
    record = by_node.get("vm.record")
    if record is None or record.run_id is not None:
        return VmState.CREATING, None
    if record.state == "releasing":
        return VmState.DELETING, None
    boot = by_node.get("vm.boot")
    if boot is None:
        return VmState.STOPPED, None
    if not isinstance(boot.value, dict):
        return VmState.FAILED, None
    process = ProcessIdentity(boot.value["pid"], boot.value["start_ticks"], boot.value["boot_id"])
    return (VmState.RUNNING, process) if is_alive(process) else (VmState.FAILED, None)


def vm_view(state: State, record: VmRecord, busy: VmState | None) -> VmView:
    """A VM as it is shown. `busy`: what an operation is doing to it."""
    leases = {lease.node: lease for lease in state.journal.of_vm(record.id)}
    found, process = vm_state(leases.values())
    shown = busy or found
    running = process is not None and shown is VmState.RUNNING
    problems = []
    if found is VmState.FAILED and busy is None:
        problems.append("its VMM ended without being asked to")
    boot = leases.get("vm.boot")
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
    )


def _ssh_endpoint(state: State, record: VmRecord, leases: dict[str, Lease]) -> SshEndpoint | None:
    net = leases.get("net.user")
    if net is None or not isinstance(net.value, dict):
        return None
    return SshEndpoint(
        host="127.0.0.1",
        port=net.value["ssh_port"],
        user="root",
        identity_file=str(state.client_key),
        known_hosts_file=str(state.vms_dir / record.id / "known_hosts"),
        host_key_alias=f"banger-{record.id}",
    )


def bench_rows(runs: Iterable[tuple[str, float, list[NodeRun]]]) -> list[BenchRow]:
    """Times of stages, cold runs (a Build was made) and warm ones apart; the whole run is the last row."""
    cold: dict[str, list[float]] = {}
    warm: dict[str, list[float]] = {}
    order: dict[str, None] = {}
    for _, seconds, nodes in runs:
        is_cold = any(node.flavour == "build" and node.cache == "miss" for node in nodes)
        into = cold if is_cold else warm
        for node in nodes:
            order[node.node] = None
            if node.outcome == "done" and node.cache != "hit":
                into.setdefault(node.node, []).append(node.finished_s - node.started_s)
        into.setdefault("total", []).append(seconds)
    rows = [_bench_row(stage, cold.get(stage, []), warm.get(stage, [])) for stage in [*order, "total"]]
    return [row for row in rows if row.runs]


def _bench_row(stage: str, cold: list[float], warm: list[float]) -> BenchRow:
    return BenchRow(
        stage=stage,
        runs=len(cold) + len(warm),
        cold_median_s=median(cold) if cold else None,
        cold_p90_s=_p90(cold),
        warm_median_s=median(warm) if warm else None,
        warm_p90_s=_p90(warm),
    )


def _p90(times: list[float]) -> float | None:
    if len(times) < 2:  # noqa: PLR2004 - quantiles() wants two points
        return times[0] if times else None
    return quantiles(times, n=10, method="inclusive")[_NINE_TENTHS]
