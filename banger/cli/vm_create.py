"""`banger vm create`: make a VM and leave it running."""

from typing import Any

import click

from banger.cli.client import Client
from banger.cli.decode import decode
from banger.cli.follow import InterruptedTooLateError, follow
from banger.cli.options import as_json, quiet, request_from, say_spec, vm_options
from banger.cli.output import print_json
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.vm import VmRequest, VmView


def create(client: Client, request: VmRequest, *, is_quiet: bool) -> VmView:
    """Have the daemon make a VM, showing how it goes. The operation ends with us, so that none is half made."""
    from dataclasses import asdict

    with progress(quiet=is_quiet) as shown:
        try:
            value = follow(client, client.post("/v1/vms", {"vm": asdict(request), "attached": True}), shown)
        except InterruptedTooLateError as late:
            name = decode(VmView, late.value).name
            if not request.ephemeral:
                shown.say(f"VM {name!r} was ready before that; to remove it: banger vm delete {name}")
            raise
    return decode(VmView, value)


@click.command("create")
@vm_options
@quiet
@as_json
def command(*, quiet: bool, json_output: bool, **options: Any) -> None:
    """Make a VM and leave it running. With PATH, the git repository around it is copied to /root/repo."""
    request = request_from(options)
    say_spec(request)
    with daemon() as client:
        vm = create(client, request, is_quiet=quiet)
    if json_output:
        print_json(vm)
    else:
        print(vm.name)
