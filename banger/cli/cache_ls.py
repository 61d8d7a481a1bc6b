"""`banger cache ls`."""

import click

from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table, short_digest, size
from banger.cli.start_daemon import daemon
from banger.model.views import CacheEntryView


@click.command("ls")
@as_json
def command(*, json_output: bool) -> None:
    """List artifacts, last used first."""
    with daemon() as client:
        entries = decode_list(CacheEntryView, client.get("/v1/cache"))
    if json_output:
        print_json(entries)
        return
    rows = [[short_digest(entry.digest), entry.kind, size(entry.size_bytes), entry.label] for entry in entries]
    print_table(["DIGEST", "KIND", "SIZE", "LABEL"], rows, right=[2])
