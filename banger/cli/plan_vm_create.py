"""`banger plan vm create`: what would be done, what is there already, how long it would take."""

from dataclasses import asdict
from typing import Any

import click

from banger.cli.decode import decode
from banger.cli.options import as_json, request_from, vm_options
from banger.cli.output import print_json, seconds, short_digest
from banger.cli.start_daemon import daemon
from banger.model.views import PlanNodeView, PlanView


@click.command("create")
@vm_options
@as_json
def command(*, json_output: bool, **options: Any) -> None:
    """Say what `vm create` or `vm run` with these options would do. Changes nothing."""
    with daemon() as client:
        plan = decode(PlanView, client.post("/v1/plan", asdict(request_from(options))))
    if json_output:
        print_json(plan)
        return
    for line in tree(plan):
        print(line)


def tree(plan: PlanView) -> list[str]:
    """Draw the plan from its ends down to what they rest on; a node that was drawn above is only named again."""
    nodes = {node.id: node for node in plan.nodes}
    needed = {name for node in plan.nodes for name in node.depends_on}
    rows: list[tuple[str, PlanNodeView, bool]] = []
    drawn: set[str] = set()

    def draw(node: PlanNodeView, first: str, rest: str) -> None:
        again = node.id in drawn
        rows.append((first, node, again))
        drawn.add(node.id)
        below = [] if again else [nodes[name] for name in node.depends_on if name in nodes]
        for number, child in enumerate(below):
            last = number == len(below) - 1
            draw(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))

    for node in plan.nodes:
        if node.id not in needed:
            draw(node, "", "")
    width = max((len(_name(lead, node)) for lead, node, _again in rows), default=0)
    return [*(_row(lead, node, width, again=again) for lead, node, again in rows), *_totals(plan)]


def _name(lead: str, node: PlanNodeView) -> str:
    return f"{lead}{node.kind} {node.label}".rstrip()


def _row(lead: str, node: PlanNodeView, width: int, *, again: bool) -> str:
    name = _name(lead, node).ljust(width)
    if again:
        return f"{name}  (above)"
    mark = "*" if node.on_critical_path else " "
    last = f"last {seconds(node.last_s)}" if node.last_s is not None else "never run"
    return f"{name}  {node.cache:<7} {mark} {short_digest(node.digest):<12}  {last}".rstrip()


def _totals(plan: PlanView) -> list[str]:
    count = {state: sum(node.cache == state for node in plan.nodes) for state in ("hit", "miss", "unknown", "effect")}
    counts = ", ".join(f"{number} {state}" for state, number in count.items() if number)
    predicted = "unknown (a node on the critical path has never run)"
    if plan.predicted_s is not None:
        predicted = f"about {seconds(plan.predicted_s)}"
    return ["", f"{counts}; * is the critical path; predicted time: {predicted}"]
