"""`banger cache ls`."""

import time
from urllib.parse import urlencode

import click

from banger.cli.amounts import age, parse_age, parse_bytes
from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table, short_digest, size
from banger.cli.start_daemon import daemon
from banger.model.cache import CacheEntryView

_HEAD = ["DIGEST", "KIND", "SIZE", "ON DISK", "USED", "KEPT BY", "LABEL"]


@click.command("ls")
@click.option("--kind", metavar="KIND", help="Only of this kind; image.* is every kind that begins so.")
@click.option("--older-than", metavar="AGE", help="Only what was last used so long ago: 90s, 30m, 12h or 7d.")
@click.option("--larger-than", metavar="SIZE", help="Only what is longer: 500M, 2G.")
@click.option("--owner", metavar="NAME", help="Only what this VM keeps; pin: what is pinned; none: what nothing keeps.")
@as_json
def command(
    kind: str | None, older_than: str | None, larger_than: str | None, owner: str | None, *, json_output: bool
) -> None:
    """List artifacts, last used first."""
    wanted = {
        "kind": kind,
        "older_than_s": None if older_than is None else parse_age(older_than),
        "larger_than_bytes": None if larger_than is None else parse_bytes(larger_than),
        "owner": owner,
    }
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    with daemon() as client:
        entries = decode_list(CacheEntryView, client.get(f"/v1/cache?{query}" if query else "/v1/cache"))
    if json_output:
        print_json(entries)
        return
    if not entries:
        print("nothing in the cache is like that" if query else "the cache is empty: a VM fills it")
        return
    now = time.time()  # noqa: TID251 - to show an age; nothing is decided by it
    print_table(_HEAD, [_row(entry, now) for entry in entries], right=[2, 3])


def _row(entry: CacheEntryView, now: float) -> list[str]:
    sizes = [size(entry.size_bytes), size(entry.disk_bytes)]
    used = f"{age(now - entry.last_used_at)} ago"
    return [short_digest(entry.digest), entry.kind, *sizes, used, ", ".join(entry.owners) or "-", entry.label]
