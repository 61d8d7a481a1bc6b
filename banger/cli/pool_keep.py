"""`banger pool keep`."""

from dataclasses import asdict

import click

from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.pool_ls import show
from banger.cli.sizes import host_defaults, resolve
from banger.cli.start_daemon import daemon
from banger.model.views import PoolView
from banger.model.vm import DEFAULT_IMAGE, format_size


@click.command("keep")
@click.argument("count", metavar="N", type=click.IntRange(0, 16))
@click.option("--image", default=DEFAULT_IMAGE, metavar="IMAGE", help=f"Image (default {DEFAULT_IMAGE}).")
@click.option("--vcpu", type=int, metavar="INT", help=f"Virtual CPUs (default {host_defaults().vcpus}).")
@click.option("--memory", metavar="SIZE", help=f"Memory, in MiB or as 2G (default {host_defaults().memory_mib}).")
@click.option(
    "--disk-size", metavar="SIZE", help=f"Work disk, /root (default {format_size(host_defaults().disk_bytes)})."
)
@as_json
def command(
    *, count: int, image: str, vcpu: int | None, memory: str | None, disk_size: str | None, json_output: bool
) -> None:
    """Keep N restored VMs of a shape ready for `vm run` and `vm create`; 0 drops them.

    They wait without a name or a key, and go when their template is no longer the current one. Each takes memory.
    """
    sizes = resolve(vcpu, memory, disk_size)
    with daemon() as client:
        answer = client.request("PUT", "/v1/pools", {"image": image, "sizes": asdict(sizes), "count": count})
        show(decode_list(PoolView, answer), as_json=json_output)
