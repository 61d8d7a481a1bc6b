"""`banger trace`: where the time of a run went."""

import json
from dataclasses import asdict

import click

from banger.cli.completing import complete_runs
from banger.cli.output import print_table, seconds, write_out
from banger.cli.runs_show import fetch
from banger.graph.timeline import STAGES, critical_path, least_possible, stage_totals
from banger.model.errors import SpecError
from banger.model.history import RunView

_WORTH_A_LINE_S = 0.005


@click.command("trace")
@click.argument("run", metavar="[RUN]", default="last", shell_complete=complete_runs)
@click.option(
    "--chrome", metavar="FILE", help="Write Chrome trace events, to be opened at ui.perfetto.dev; - is stdout."
)
@click.option("--html", metavar="FILE", help="Write one page with the run as bars over time; - is stdout.")
@click.option(
    "--json", "json_lines", is_flag=True, help="Print JSON lines: the run, its nodes, the guest's boot, the path."
)
def command(run: str, *, chrome: str | None, html: str | None, json_lines: bool) -> None:
    """Say where the time of a run went: its critical path, and what the run would have taken without each step of it.

    RUN is an id from `banger runs ls` or the beginning of one. If none is given, it is the last run that made or
    started a VM.
    """
    if sum(map(bool, (chrome, html, json_lines))) > 1:
        raise SpecError("--chrome, --html and --json exclude each other")
    view = fetch(run)
    if chrome:
        from banger.graph.render.chrome import chrome_trace

        write_out(chrome, json.dumps(chrome_trace(view)) + "\n")
    elif html:
        from banger.graph.render.run_page import run_page

        write_out(html, run_page([view], f"banger trace {view.run.id[:12]}"))
    elif json_lines:
        for line in as_lines(view):
            print(line)
    else:
        report(view)


def as_lines(view: RunView) -> list[str]:
    """One object a line; `type` says which: run, node, span, path."""
    records = [
        {"type": "run", "schema": 1, **asdict(view.run)},
        *({"type": "node", **asdict(node)} for node in view.nodes),
        *({"type": "span", **asdict(span)} for span in view.spans),
        *(
            {
                "type": "path",
                "node": step.node,
                "attempt": step.attempt,
                "exclusive_s": step.exclusive_s,
                "share": step.share,
                "if_free_s": step.if_free_s,
                **step.stages,
            }
            for step in critical_path(view)
        ),
    ]
    return [json.dumps(record) for record in records]


def report(view: RunView) -> None:
    """Print it for people."""
    run = view.run
    print(f"run {run.id[:12]}, {run.what}, {run.mode}: {seconds(run.seconds)}, {run.cached} cached, {run.ran} ran")
    print()
    print("Critical path: each step waited for the one above it.")
    cells = []
    waits = []
    for step in critical_path(view):
        if step.exclusive_s < _WORTH_A_LINE_S:
            continue
        name = step.node if step.attempt == 1 else f"{step.node} (attempt {step.attempt})"
        cells.append([name, seconds(step.exclusive_s), f"{step.share:.0%}", seconds(step.if_free_s)])
        waits += [
            [name, stage, seconds(step.stages[stage])]
            for stage in STAGES
            if stage != "run" and step.stages[stage] >= _WORTH_A_LINE_S
        ]
    print_table(["STEP", "TIME", "SHARE", "RUN IF IT WERE FREE"], cells, right=(1, 2, 3))
    _report_waits(view, waits)
    if view.spans:
        print()
        print("The guest's boot, by its own clock:")
        rows = [[span.name, f"{span.start_s:.2f}", seconds(span.end_s - span.start_s)] for span in view.spans]
        print_table(["STAGE", "FROM", "TIME"], rows, right=(1, 2))


def _report_waits(view: RunView, waits: list[list[str]]) -> None:
    totals = stage_totals(view)
    print()
    print("All nodes together: " + ", ".join(f"{name} {seconds(taken)}" for name, taken in totals.items()))
    floors = [f"{name} {seconds(taken)}" for name, taken in least_possible(view).items() if taken >= _WORTH_A_LINE_S]
    print("It could not be shorter than: " + ", ".join(floors))
    if waits:
        print()
        print("On the path, but not the step's own work:")
        print_table(["STEP", "STAGE", "TIME"], waits, right=(2,))
