"""`banger cache pin`."""

import click

from banger.cli.client import artifact_path
from banger.cli.decode import decode
from banger.cli.options import as_json
from banger.cli.output import print_json, short_digest, size
from banger.cli.start_daemon import daemon
from banger.model.cache import CacheEntryView


@click.command("pin")
@click.argument("digest")
@click.option("--note", default="", metavar="TEXT", help="Why, for whoever wonders later.")
@as_json
def command(digest: str, note: str, *, json_output: bool) -> None:
    """Keep the artifact that has this DIGEST, or begins so, and what was made together with it."""
    with daemon() as client:
        entry = decode(CacheEntryView, client.request("PUT", artifact_path(digest, "/pin"), {"note": note}))
    if json_output:
        print_json(entry)
    else:
        print(f"pinned {short_digest(entry.digest)}: {entry.kind} {entry.label}, {size(entry.disk_bytes)}")
