"""`banger why`: what changed, from what to what, and what that made run again."""

from urllib.parse import quote, urlencode

import click

from banger.cli.completing import complete_nodes, complete_runs
from banger.cli.decode import decode
from banger.cli.options import as_json
from banger.cli.output import name_of, print_json, sanitised
from banger.cli.runs_ls import when
from banger.cli.start_daemon import daemon
from banger.model.errors import SpecError
from banger.model.history import REASONS, ChangeView, RunRow, WhyStepView, WhyView

_MOST_SHOWN = 12
_TEXT_CHARS = 48


@click.command("why")
@click.argument("node", metavar="NODE", shell_complete=complete_nodes)
@click.option(
    "--run",
    "runs",
    metavar="RUN",
    multiple=True,
    shell_complete=complete_runs,
    help="A run by its id, the beginning of it, or `last`. Twice: compare the first with the second.",
)
@as_json
def command(node: str, runs: tuple[str, ...], *, json_output: bool) -> None:
    """Say why NODE ran, or did not have to, in the last run that has it, beside the run of the same sort before it.

    What differs is followed down to where the change began: a parameter, the code's version, or what a query answered.
    `banger plan vm create` and `banger runs show last` name the nodes.
    """
    most = 2
    if len(runs) > most:
        raise SpecError("--run is given once or twice")
    asked = {"run": runs[-1]} if runs else {}
    if len(runs) == most:
        asked["against"] = runs[0]
    with daemon() as client:
        path = f"/v1/why/{quote(node, safe='')}" + (f"?{urlencode(asked)}" if asked else "")
        view = decode(WhyView, client.get(path))
    if json_output:
        print_json(view)
        return
    for line in explanation(view):
        print(sanitised(line))


def explanation(view: WhyView) -> list[str]:
    """The whole answer."""
    lines = [f"{view.node}: {_verdict(view)}", f"  in run      {_run(view.run)}"]
    lines.append(
        f"  beside run  {_run(view.against)}" if view.against else "  there is no earlier run of the same sort"
    )
    steps = [step for step in view.steps if step.changes or step.leaf]
    if view.against and steps and (view.reason is not None or steps[0].changes):
        for step in steps:
            lines += ["", *_step(step)]
    if view.stale or view.unmoved:
        lines.append("")
    if view.stale:
        lines.append(f"made stale: {', '.join(view.stale)}")
    if view.unmoved:
        lines.append(f"not affected: {', '.join(view.unmoved)}")
    return lines


def _verdict(view: WhyView) -> str:
    if view.outcome == "skipped":
        return "was not reached"
    if view.reason is None:
        return "did not run: its result was in the cache"
    return f"{view.reason}: {REASONS[view.reason.partition(':')[0]]}"


def _run(row: RunRow) -> str:
    return f"{row.id[:12]}  {row.what}, {when(row.started_at)}, {row.outcome or 'under way'}"


def _step(step: WhyStepView) -> list[str]:
    began = "   <- here" if step.leaf else ""
    lines = [f"{name_of(step.kind, step.label)}  {step.reason}{began}"]
    width = max((len(change.what) for change in step.changes[:_MOST_SHOWN]), default=0)
    lines += [f"  {change.what.ljust(width)}  {_sides(change)}" for change in step.changes[:_MOST_SHOWN]]
    if len(step.changes) > _MOST_SHOWN:
        lines.append(f"  and {len(step.changes) - _MOST_SHOWN} more: --json shows them")
    return lines


def _sides(change: ChangeView) -> str:
    if change.before is None:
        return f"added: {_text(change.after)}"
    if change.after is None:
        return f"removed: {_text(change.before)}"
    return f"{_text(change.before)} -> {_text(change.after)}"


def _text(value: str | None) -> str:
    text = value or ""
    if text.startswith("sha256:"):
        return text[: len("sha256:") + 12]
    return text if len(text) <= _TEXT_CHARS else f"{text[: _TEXT_CHARS - 1]}…"
