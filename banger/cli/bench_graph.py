"""`banger bench graph`: what the engine costs, on a graph of nodes that do nothing. No daemon takes part."""

import os
from pathlib import Path

import click

from banger.cli.output import print_json, print_table
from banger.model.errors import SpecError
from banger.model.paths import state_paths


@click.command("graph")
@click.option("--nodes", default=10_000, metavar="N", help="Nodes in all (default 10000).")
@click.option("--layers", default=10, metavar="L", help="Layers that they are in (default 10).")
@click.option("--fan-in", default=3, metavar="K", help="Neighbours above that each needs (default 3).")
@click.option("--change", default=0, metavar="N", help="Nodes whose input is another one than in every earlier run.")
@click.option("--state-dir", metavar="DIR", help="Where records are kept (default: bench-graph in banger's own).")
@click.option("--json", "json_output", is_flag=True, help="Print JSON.")
def command(nodes: int, layers: int, fan_in: int, change: int, state_dir: str | None, *, json_output: bool) -> None:
    """Run a graph of nodes that do nothing through the engine, its store and its journal; again, it finds all done.

    Cold is a run in an empty directory. Times of the run are seconds within this process; `time banger bench graph`
    tells the rest.
    """
    if not 1 <= layers <= nodes or fan_in < 0 or not 0 <= change <= nodes:
        raise SpecError("--layers is from 1 to --nodes, --change from 0 to --nodes, and --fan-in not below 0")
    from banger.engine.bench import bench_graph

    directory = Path(state_dir) if state_dir else state_paths(os.environ).root / "bench-graph"
    result = bench_graph(directory.absolute(), nodes=nodes, layers=layers, fan_in=fan_in, change=change)
    if json_output:
        print_json(result)
    else:
        print_table(
            ["NODES", "RAN", "CACHED", "SECONDS", "US/NODE", "CPU US/NODE", "PEAK MIB"],
            [result.cells()],
            right=range(7),
        )
