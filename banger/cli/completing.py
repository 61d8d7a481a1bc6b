"""Completion of names of VMs, nodes and runs. Asks a daemon that runs; never starts one, never fails."""

import click

from banger.cli.start_daemon import running_daemon
from banger.model.errors import BangerError


def complete_vms(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of VMs that begin so and are not on the command line yet."""
    answer = _ask("/v1/vms")
    taken = context.params.get("names") or ()
    names = [vm["name"] for vm in answer if isinstance(vm, dict)] if isinstance(answer, list) else []
    return [name for name in names if name.startswith(incomplete) and name not in taken]


def complete_kernels(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of kernels."""
    names = [str(row["name"]) for row in _rows(_ask("/v1/kernels"))]
    return [name for name in names if name.startswith(incomplete)]


def complete_nodes(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Nodes of the newest run that made or started something."""
    for row in _rows(_ask("/v1/runs?limit=20")):
        answer = _ask(f"/v1/runs/{row['id']}") if row.get("mode") != "other" else None
        nodes = _rows(answer.get("nodes")) if isinstance(answer, dict) else []
        names = dict.fromkeys(str(node["id"]) for node in nodes if node.get("flavour") != "release")
        if names:
            return [name for name in names if name.startswith(incomplete)]
    return []


def complete_runs(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Ids of runs, and `last`."""
    names = ["last", *(str(row["id"])[:12] for row in _rows(_ask("/v1/runs?limit=50")))]
    return [name for name in names if name.startswith(incomplete)]


def _ask(path: str) -> object:
    try:
        client = running_daemon()
        if client is None:
            return None
        with client:
            return client.request("GET", path, timeout_s=1.0)
    except BangerError:
        return None


def _rows(answer: object) -> list[dict[str, object]]:
    return [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else []
