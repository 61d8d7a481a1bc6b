"""`banger bench`: how long the stages of past creates took."""

import json
from pathlib import Path
from urllib.parse import quote

import click

from banger.cli.client import Client
from banger.cli.decode import decode
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table, seconds, write_out
from banger.cli.start_daemon import daemon
from banger.graph.timeline import critical_path
from banger.model.errors import SpecError
from banger.model.history import BenchMode, BenchStage, BenchView, RunView

_LEGEND = "* is on the critical path of the middle run; cold: something was built, warm: nothing was"


@click.command("stages")
@click.option("--baseline", metavar="RUN|FILE", help="Compare with a run, or with what --json printed earlier.")
@click.option("--html", metavar="FILE", help="Write one page with the middle run of each mode as bars; - is stdout.")
@as_json
def command(baseline: str | None, html: str | None, *, json_output: bool) -> None:
    """Show stage times of past creates: cold ones, which had to build something, warm ones and restored ones apart."""
    if json_output and html:
        raise SpecError("--json and --html exclude each other")
    with daemon() as client:
        view = decode(BenchView, client.get("/v1/bench"))
        base = read_baseline(client, baseline) if baseline else None
        if html:
            from banger.graph.render.run_page import run_page

            middle = [fetch_run(client, mode.middle_run) for mode in view.modes]
            write_out(html, run_page(middle, "banger bench: the middle run of each mode"))
            return
    if json_output:
        print_json(view)
        return
    show(view, base)


def fetch_run(client: Client, ref: str) -> RunView:
    """One run."""
    return decode(RunView, client.get(f"/v1/runs/{quote(ref, safe='')}"))


def read_baseline(client: Client, ref: str) -> BenchView:
    """A file with an earlier answer or, if there is no such file, a run. Raises SpecError."""
    path = Path(ref)
    if not path.is_file():
        return as_baseline(fetch_run(client, ref))
    try:
        return decode(BenchView, json.loads(path.read_text()))
    except ValueError as error:
        raise SpecError(f"{ref} is not what `banger bench --json` prints", hint="banger bench --json > FILE") from error


def as_baseline(view: RunView) -> BenchView:
    """One run in the shape of many."""
    critical = {step.node for step in critical_path(view)}
    wall_s = view.run.seconds or 0.0
    stages = [
        BenchStage(node.id, 1, taken, taken, node.id in critical)
        for node in view.nodes
        if node.outcome == "done" and node.cache != "hit" and node.flavour != "release"
        for taken in [node.finished_s - node.started_s]
    ]
    return BenchView([BenchMode(view.run.mode, 1, wall_s, wall_s, view.run.id, stages)])


def show(view: BenchView, base: BenchView | None) -> None:
    """Print a table for each mode."""
    if not view.modes:
        print("no VM has been made yet: banger bench create --runs 5")
        return
    others = {mode.mode: mode for mode in base.modes} if base else {}
    for mode in view.modes:
        runs = "run" if mode.runs == 1 else "runs"
        print(f"{mode.mode}, {mode.runs} {runs}, the middle one is {mode.middle_run[:12]}")
        _show_mode(mode, others.get(mode.mode) if base else None, compared=base is not None)
        print()
    print(_LEGEND)


def _show_mode(mode: BenchMode, other: BenchMode | None, *, compared: bool) -> None:
    before = {stage.stage: stage for stage in other.stages} if other else {}
    rows = [
        _row(
            f"{stage.stage} *" if stage.on_critical_path else stage.stage,
            stage.runs,
            (stage.p50_s, stage.p95_s),
            before[stage.stage].p50_s if stage.stage in before else None,
            compared=compared,
        )
        for stage in mode.stages
    ]
    whole = _row("total", mode.runs, (mode.p50_s, mode.p95_s), other.p50_s if other else None, compared=compared)
    head = ["STAGE", "RUNS", "P50", "P95", *(["BASELINE", "CHANGE"] if compared else [])]
    print_table(head, [*rows, whole], right=range(1, len(head)))


def _row(name: str, runs: int, times: tuple[float, float], before: float | None, *, compared: bool) -> list[str]:
    p50, p95 = times
    cells = [name, str(runs), seconds(p50), seconds(p95)]
    if compared:
        cells += [seconds(before), f"{(p50 - before) / before:+.0%}" if before else "-"]
    return cells
