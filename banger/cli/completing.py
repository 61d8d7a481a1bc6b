"""Completion of names. Asks a daemon that runs; never starts one, never fails."""

import click

from banger.cli.start_daemon import running_daemon
from banger.model.errors import BangerError


def complete_vms(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of VMs that begin so and are not on the command line yet."""
    try:
        client = running_daemon()
        if client is None:
            return []
        with client:
            answer = client.request("GET", "/v1/vms", timeout_s=1.0)
    except BangerError:
        return []
    taken = context.params.get("names") or ()
    names = [vm["name"] for vm in answer if isinstance(vm, dict)] if isinstance(answer, list) else []
    return [name for name in names if name.startswith(incomplete) and name not in taken]
