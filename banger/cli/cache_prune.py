"""`banger cache prune`."""

import click

from banger.cli.amounts import parse_age, parse_bytes
from banger.cli.decode import decode
from banger.cli.follow import follow
from banger.cli.options import as_json, quiet
from banger.cli.output import print_json, print_table, seconds, size
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.cache import PruneView


@click.command("prune")
@click.option("--older-than", metavar="AGE", help="Only what was last used so long ago: 90s, 30m, 12h or 7d.")
@click.option("--max-size", metavar="SIZE", help="Go on until the cache takes no more than that: 500M, 10G.")
@click.option("-a", "--all", "everything", is_flag=True, help="Everything that no VM, pin or running operation needs.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go, and what it costs next time.")
@quiet
@as_json
def command(
    older_than: str | None, max_size: str | None, *, everything: bool, dry_run: bool, quiet: bool, json_output: bool
) -> None:
    """Remove artifacts that nothing needs, the cheapest to make again first.

    What a VM, a pin or a running operation needs stays, whatever is asked. Without options: what has not been used for
    30 days, and then as much as is over 32 GiB.
    """
    request = {
        "older_than_s": None if older_than is None else parse_age(older_than),
        "max_bytes": None if max_size is None else parse_bytes(max_size),
        "everything": everything,
        "dry_run": dry_run,
    }
    with daemon() as client, progress(quiet=quiet) as shown:
        pruned = decode(PruneView, follow(client, client.post("/v1/cache/prune", request), shown))
    if json_output:
        print_json(pruned)
        return
    if dry_run and pruned.evictions:
        _print_evictions(pruned)
    verbs = ("would remove", "would free") if dry_run else ("removed", "freed")
    print(f"{verbs[0]} {pruned.removed}, {verbs[1]} {size(pruned.freed_bytes)}")
    print(_what_stays(pruned, everything=everything))


def _print_evictions(pruned: PruneView) -> None:
    rows = [
        [one.kind, one.label, str(one.artifacts), size(one.disk_bytes), seconds(one.again_s)]
        for one in pruned.evictions
    ]
    print_table(["KIND", "LABEL", "ARTIFACTS", "FREES", "NEXT TIME"], rows, right=[2, 3, 4])
    print(f"made again when next needed: about {seconds(pruned.again_s)} altogether")


def _what_stays(pruned: PruneView, *, everything: bool) -> str:
    line = f"kept {size(pruned.kept_bytes)}, of which VMs and pins need {size(pruned.held_bytes)}"
    loose = pruned.kept_bytes > pruned.held_bytes and not everything and not pruned.removed
    return f"{line}; `banger cache prune --all` removes the rest" if loose else line
