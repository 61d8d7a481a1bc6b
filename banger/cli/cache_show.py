"""`banger cache show`."""

from datetime import UTC, datetime

import click

from banger.cli.client import artifact_path
from banger.cli.decode import decode
from banger.cli.options import as_json
from banger.cli.output import print_json, seconds, size
from banger.cli.start_daemon import daemon
from banger.model.cache import CacheEntryView


@click.command("show")
@click.argument("digest")
@as_json
def command(digest: str, *, json_output: bool) -> None:
    """Show one artifact by its DIGEST, or by the first digits of it."""
    with daemon() as client:
        entry = decode(CacheEntryView, client.get(artifact_path(digest)))
    if json_output:
        print_json(entry)
        return
    print(f"digest:    {entry.digest}")
    print(f"kind:      {entry.kind}")
    print(f"label:     {entry.label}")
    print(f"size:      {size(entry.size_bytes)}, {size(entry.disk_bytes)} on the disk")
    print(f"made in:   {seconds(entry.seconds)}")
    print(f"created:   {_when(entry.created_at)}")
    print(f"last used: {_when(entry.last_used_at)}")
    print(f"kept by:   {', '.join(entry.owners) or 'nothing'}")


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
