"""`banger vm ports`: what listens in a VM, and where to reach it."""

import sys

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.options import as_json, one_vm
from banger.cli.output import print_json, print_table, sanitised
from banger.cli.start_daemon import daemon
from banger.model.verbs import PortsView


@click.command("ports")
@one_vm
@as_json
def command(name: str, *, json_output: bool) -> None:
    """List what listens in a VM. Each port is made reachable from this host, at the endpoint that is shown."""
    with daemon() as client:
        found = decode(PortsView, client.get(vm_path(name, "/ports")))
    if json_output:
        print_json(found)
        return
    if found.truncated:
        print("there are more listeners than are listed", file=sys.stderr)
    rows = [
        [port.protocol, port.endpoint or f"({port.note})", sanitised(port.process), sanitised(port.command)]
        for port in found.ports
    ]
    if rows:
        print_table(["PROTO", "ENDPOINT", "PROCESS", "COMMAND"], rows)
