"""`banger cache du`."""

import click

from banger.cli.decode import decode
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table, size
from banger.cli.start_daemon import daemon
from banger.model.cache import CacheUsageView


@click.command("du")
@as_json
def command(*, json_output: bool) -> None:
    """Show what the cache takes on the disk, by kind, and how much of it nothing keeps."""
    with daemon() as client:
        usage = decode(CacheUsageView, client.get("/v1/cache/usage"))
    if json_output:
        print_json(usage)
        return
    rows = [
        [kind.kind, str(kind.count), size(kind.size_bytes), size(kind.disk_bytes), size(kind.reclaimable_bytes)]
        for kind in usage.kinds
    ]
    total = ["total", str(sum(kind.count for kind in usage.kinds)), size(sum(kind.size_bytes for kind in usage.kinds))]
    rows.append([*total, size(usage.disk_bytes), size(usage.reclaimable_bytes)])
    print_table(["KIND", "COUNT", "SIZE", "ON DISK", "RECLAIMABLE"], rows, right=[1, 2, 3, 4])
    if usage.quarantine_count:
        print(f"quarantined: {usage.quarantine_count}, {size(usage.quarantine_bytes)}")
    print(f"free on the disk: {size(usage.free_bytes)}")
