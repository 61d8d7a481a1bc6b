"""`banger vm health`: whether a VM's guest is well."""

import click

from banger.cli.app import RemoteExitError
from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.options import as_json, one_vm
from banger.cli.output import print_json, seconds
from banger.cli.start_daemon import daemon
from banger.model.verbs import HealthView


@click.command("health")
@one_vm
@as_json
def command(name: str, *, json_output: bool) -> None:
    """Ask the agent in a VM how its guest is. The exit status is 0 if it is healthy, 1 if not."""
    with daemon() as client:
        health = decode(HealthView, client.get(vm_path(name, "/health")))
    if json_output:
        print_json(health)
    elif health.healthy:
        print(f"healthy: up {seconds(health.uptime_s)}, SSH {health.ssh}, agent {health.agent}")
    else:
        print(f"not healthy: {health.reason}")
    if not health.healthy:
        raise RemoteExitError(1)
