"""`banger bench create`: really make VMs and delete them, and show how long that took."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import click

from banger.cli.bench import fetch_run, read_baseline, show
from banger.cli.client import Client, vm_path
from banger.cli.decode import decode
from banger.cli.follow import InterruptedTooLateError, follow
from banger.cli.options import as_json, quiet, request_from, say_spec, vm_options
from banger.cli.output import print_json, seconds, write_out
from banger.cli.progress import Progress, QuietProgress, progress
from banger.cli.session import delete_now
from banger.cli.start_daemon import daemon
from banger.engine.bench_view import bench_view
from banger.model.errors import SpecError
from banger.model.history import RunView
from banger.model.progress import Event
from banger.model.vm import VmRequest, VmView

BOOT = "boot"
RESTORE = "restore"


class Listening(QuietProgress):
    """Hears which run it was."""

    run_id = ""

    def show(self, event: Event) -> None:
        """Remember the run."""
        if event["event"] == "summary":
            self.run_id = event["run_id"]


@click.command("create")
@vm_options
@click.option(
    "--runs", default=5, type=click.IntRange(1, 1000), metavar="N", help="VMs to make in each way (default 5)."
)
@click.option("--baseline", metavar="RUN|FILE", help="Compare with a run, or with what --json printed earlier.")
@click.option("--html", metavar="FILE", help="Also write one page with the middle run of each mode as bars.")
@quiet
@as_json
def command(
    *, runs: int, baseline: str | None, html: str | None, quiet: bool, json_output: bool, **options: Any
) -> None:
    """Make N VMs one after another, each deleted before the next, and show how long their stages took.

    N are booted and N restored from a template, in the order A B B A …, so that a host that grows slower does so for
    both; with --cold, N are booted. Some are made first and not counted: they build whatever is missing.
    """
    if options["name"] is not None:
        raise SpecError("--name makes no sense here: each VM is another one")
    request = request_from(options, ephemeral=False)
    say_spec(request)
    with daemon() as client, progress(quiet=quiet) as shown:
        base = read_baseline(client, baseline) if baseline else None
        views = measure(client, request, runs, shown)
    result = bench_view(views)
    if html:
        from banger.graph.render.run_page import run_page

        by_id = {view.run.id: view for view in views}
        write_out(html, run_page([by_id[mode.middle_run] for mode in result.modes], "banger bench create"))
    if json_output:
        print_json(result)
    else:
        show(result, base)


def measure(client: Client, request: VmRequest, runs: int, shown: Progress) -> list[RunView]:
    """Make and delete the VMs; what is measured is the run of each create."""
    views = []
    order = alternating(ways(client, request, shown), runs)
    for number, way in enumerate(order, start=1):
        views.append(create_once(client, request, way))
        shown.say(f"{number} of {len(order)}: {way}, {seconds(views[-1].run.seconds)}")
    return views


def ways(client: Client, request: VmRequest, shown: Progress) -> list[str]:
    """The ways in which such a VM comes up here, each tried once."""
    create_once(client, request, BOOT)
    if request.cold:
        return [BOOT]
    shape = {"image": request.image, "sizes": asdict(request.sizes)}
    follow(client, client.post("/v1/templates", shape), shown)
    if create_once(client, request, RESTORE).run.mode == "restored":
        return [BOOT, RESTORE]
    shown.say("no VM was restored: templates are off, or this one cannot be used; booting only")
    return [BOOT]


def alternating(names: Sequence[str], runs: int) -> list[str]:
    """Each way `runs` times, every round in the reverse order of the one before it: A B B A A B …"""
    return [way for number in range(runs) for way in (names if number % 2 == 0 else list(names)[::-1])]


def create_once(client: Client, request: VmRequest, way: str) -> RunView:
    """Make one VM and delete it; return the run that made it."""
    heard = Listening()
    wanted = asdict(replace(request, ephemeral=False, cold=way == BOOT))
    try:
        made = follow(client, client.post("/v1/vms", {"vm": wanted, "attached": True}), heard)
    except InterruptedTooLateError as late:
        delete_now(decode(VmView, late.value))
        raise
    vm = decode(VmView, made)
    try:
        return fetch_run(client, heard.run_id)
    finally:
        follow(client, client.delete(vm_path(vm.id)), QuietProgress())
