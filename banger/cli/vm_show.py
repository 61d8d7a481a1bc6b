"""`banger vm show`."""

from datetime import UTC, datetime

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.options import as_json, one_vm
from banger.cli.output import print_json
from banger.cli.start_daemon import daemon
from banger.model.vm import VmView


@click.command("show")
@one_vm
@as_json
def command(name: str, *, json_output: bool) -> None:
    """Show one VM."""
    with daemon() as client:
        vm = decode(VmView, client.get(vm_path(name)))
    if json_output:
        print_json(vm)
        return
    lines = {
        "name": vm.name,
        "id": vm.id,
        "state": vm.state,
        "image": vm.image,
        "sizes": vm.sizes.describe(),
        "created": datetime.fromtimestamp(vm.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "accelerator": vm.accelerator,
        "pid": vm.pid,
        "address": vm.address,
        "ports": ", ".join(port.describe() for port in vm.ports) or None,
        "nat": None if vm.nat else "no",
        "ssh": f"{vm.ssh.user}@{vm.ssh.host}:{vm.ssh.port}" if vm.ssh else None,
        "workspace": vm.workspace,
        "forked from": vm.forked_from,
        "console": vm.console_log,
    }
    for key, value in lines.items():
        if value is not None:
            print(f"{key + ':':<13}{value}")
    for problem in vm.problems:
        print(f"{'problem:':<13}{problem}")
