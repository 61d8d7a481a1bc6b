"""`banger runs show`."""

from urllib.parse import quote

import click

from banger.cli.completing import complete_runs
from banger.cli.decode import decode
from banger.cli.options import as_json
from banger.cli.output import name_of, print_json, print_table, sanitised, seconds, short_digest, size
from banger.cli.runs_ls import when
from banger.cli.start_daemon import daemon
from banger.model.history import RunNodeView, RunView


@click.command("show")
@click.argument("run", metavar="[RUN]", default="last", shell_complete=complete_runs)
@as_json
def command(run: str, *, json_output: bool) -> None:
    """Show one run, node by node in the order in which they started. RUN is an id, the beginning of it, or `last`."""
    view = fetch(run)
    if json_output:
        print_json(view)
        return
    row = view.run
    print(f"run {row.id}")
    print(f"{row.what}, {when(row.started_at)}, {row.outcome or 'under way'}, {seconds(row.seconds)}, {row.mode}")
    print()
    print_table(
        ["NODE", "STATE", "FROM", "TIME", "KEY", "SIZE"], [_cells(node) for node in view.nodes], right=(2, 3, 5)
    )


def fetch(run: str) -> RunView:
    """Ask the daemon for a run."""
    with daemon() as client:
        return decode(RunView, client.get(f"/v1/runs/{quote(run, safe='')}"))


def _cells(node: RunNodeView) -> list[str]:
    state = (
        "hit" if node.cache == "hit" else "built" if (node.outcome, node.flavour) == ("done", "build") else node.outcome
    )
    again = f" (attempt {node.attempt})" if node.attempt > 1 else ""
    return [
        sanitised(name_of(node.id, node.label)) + again,
        state,
        f"{node.started_s:.2f}",
        "" if node.cache == "hit" and node.finished_s == node.started_s else seconds(node.finished_s - node.started_s),
        short_digest(node.digest),
        size(node.size_bytes) if node.size_bytes else "",
    ]
