"""`banger cache prune`."""

import re

import click

from banger.cli.decode import decode
from banger.cli.follow import follow
from banger.cli.options import as_json, quiet
from banger.cli.output import print_json, size
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.errors import SpecError
from banger.model.views import PruneView

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command("prune")
@click.option("--older-than", metavar="AGE", help="Only what was last used so long ago: 90s, 30m, 12h or 7d.")
@quiet
@as_json
def command(older_than: str | None, *, quiet: bool, json_output: bool) -> None:
    """Remove artifacts that nothing needs; what a VM uses stays."""
    age_s = None if older_than is None else parse_age(older_than)
    with daemon() as client, progress(quiet=quiet) as shown:
        answer = client.post("/v1/cache/prune", {"older_than_s": age_s})
        pruned = decode(PruneView, follow(client, answer, shown))
    if json_output:
        print_json(pruned)
    else:
        print(f"removed {pruned.removed}, freed {size(pruned.freed_bytes)}")


def parse_age(text: str) -> float:
    """Read an age such as 12h as seconds. Raises SpecError."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if not match:
        raise SpecError(f"{text[:40]!r} is not an age: write a whole number and s, m, h or d, such as 12h")
    return float(int(match[1]) * _UNITS[match[2]])
