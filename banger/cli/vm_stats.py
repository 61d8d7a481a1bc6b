"""`banger vm stats`: what a VM uses."""

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.options import as_json, one_vm
from banger.cli.output import print_json, seconds, size
from banger.cli.start_daemon import daemon
from banger.model.verbs import StatsView
from banger.model.vm import format_size


@click.command("stats")
@one_vm
@as_json
def command(name: str, *, json_output: bool) -> None:
    """Show what a VM uses of this host, and what its guest says of itself."""
    with daemon() as client:
        stats = decode(StatsView, client.get(vm_path(name, "/stats")))
    if json_output:
        print_json(stats)
        return
    for key, value in _lines(stats).items():
        print(f"{key + ':':<14}{value}")
    for problem in stats.problems:
        print(f"{'problem:':<14}{problem}")


def _lines(stats: StatsView) -> dict[str, str]:
    lines = {"state": stats.state}
    if stats.cpu_s is not None:
        now = f"{stats.cpu_percent or 0:.0f} % of one CPU now, "
        lines["cpu"] = f"{now}{seconds(stats.cpu_s)} in {seconds(stats.uptime_s)}; {stats.vcpus} vcpu"
    if stats.rss_bytes is not None:
        shared = "" if stats.pss_bytes is None else f" ({size(stats.pss_bytes)} without what others share)"
        lines["memory"] = f"{size(stats.rss_bytes)}{shared} of {format_size(stats.memory_bytes)}"
    lines["root disk"] = size(stats.root_bytes)
    lines["work disk"] = f"{size(stats.work_bytes)} of {format_size(stats.disk_bytes)}"
    if stats.guest is not None:
        lines["guest load"] = " ".join(f"{load:.2f}" for load in stats.guest.load)
        used = stats.guest.memory_bytes - stats.guest.available_bytes
        lines["guest memory"] = f"{size(max(0, used))} of {size(stats.guest.memory_bytes)} used"
    return lines
