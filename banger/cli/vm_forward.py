"""`banger vm forward`: forward ports of this host to a running VM."""

from dataclasses import asdict

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.forwards import parse_forward
from banger.cli.options import as_json, one_vm
from banger.cli.output import print_json, print_table
from banger.cli.start_daemon import daemon
from banger.model.verbs import ForwardsView


@click.command("forward")
@one_vm
@click.argument("ports", metavar="[ADDRESS:]HOST:GUEST...", nargs=-1)
@click.option("--remove", is_flag=True, help="Forward these no longer.")
@as_json
def command(name: str, ports: tuple[str, ...], *, remove: bool, json_output: bool) -> None:
    """Forward ports of this host to a running VM, until it stops; without any, list what is forwarded.

    They listen on 127.0.0.1 unless an ADDRESS is given. `vm create -p` forwards ports whenever the VM runs.
    """
    forwards = [parse_forward(text) for text in ports]
    if remove and not forwards:
        raise click.UsageError("--remove needs to know which", click.get_current_context())
    rest = "/forwards/remove" if remove else "/forwards"
    with daemon() as client:
        for forward in forwards:
            client.post(vm_path(name, rest), asdict(forward))
        found = decode(ForwardsView, client.get(vm_path(name, "/forwards")))
    if json_output:
        print_json(found)
        return
    rows = [[one.protocol, f"{one.host}:{one.host_port}", str(one.guest_port)] for one in found.forwards]
    print_table(["PROTO", "HOST", "GUEST"], rows)
