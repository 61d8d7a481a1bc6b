"""`banger plan vm create`: what would be done, what is there already, how long it would take."""

from dataclasses import asdict
from typing import Any

import click

from banger.cli.app import RemoteExitError
from banger.cli.decode import decode
from banger.cli.options import Function, as_json, request_from, vm_options
from banger.cli.output import name_of, print_json, seconds, short_digest, write_out
from banger.cli.start_daemon import daemon
from banger.model.errors import SpecError
from banger.model.views import PlanNodeView, PlanView
from banger.model.vm import VmRequest

WORK_TO_DO = 10
"""The exit status that says so, if it is asked for."""


def plan_options(function: Function) -> Function:
    """Add the forms in which a plan can be had."""
    options = [
        as_json,
        click.option("--dot", is_flag=True, help="Print the graph for Graphviz: … --dot | dot -Tsvg > plan.svg"),
        click.option("--mermaid", is_flag=True, help="Print the graph for Mermaid, as Markdown pages show it."),
        click.option("--html", metavar="FILE", help="Write one page with the graph, for a browser; - is stdout."),
        click.option(
            "--exit-code", is_flag=True, help=f"End with 0 if nothing is to be built, with {WORK_TO_DO} otherwise."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command("create")
@vm_options
@plan_options
def command(**options: Any) -> None:
    """Say what `vm create` with these options would do. Changes nothing.

    Each line is a node; what it rests on is below it. Its state: hit (in the cache), miss (will be made, and why),
    unknown (depends on what is not known before the run), effect (live state, made each time), gate (a wait).
    """
    show_plan(request_from(options), options, "banger plan vm create")


def show_plan(request: VmRequest, options: dict[str, Any], title: str) -> None:
    """Have the plan of a create, and show it as `options` say."""
    forms = [name for name in ("json_output", "dot", "mermaid", "html") if options[name]]
    if len(forms) > 1:
        raise SpecError("--json, --dot, --mermaid and --html exclude each other")
    with daemon() as client:
        plan = decode(PlanView, client.post("/v1/plan", asdict(request)))
    _show(plan, forms[0] if forms else "", options["html"], title)
    if options["exit_code"] and work_to_do(plan):
        raise RemoteExitError(WORK_TO_DO)


def work_to_do(plan: PlanView) -> bool:
    """Whether anything is to be built, or may have to be."""
    return any(node.flavour == "build" and node.cache != "hit" for node in plan.nodes)


def _show(plan: PlanView, form: str, path: str, title: str) -> None:
    if form == "json_output":
        print_json(plan)
    elif form in {"dot", "mermaid"}:
        from banger.graph.render import text

        print(text.dot(plan) if form == "dot" else text.mermaid(plan), end="")
    elif form == "html":
        from banger.graph.render.plan_page import plan_page

        write_out(path, plan_page(plan, title))
    else:
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
    return [*(_row(lead, node, width, again=again) for lead, node, again in rows), "", *_totals(plan)]


def _name(lead: str, node: PlanNodeView) -> str:
    return f"{lead}{name_of(node.kind, node.label)}"


def _row(lead: str, node: PlanNodeView, width: int, *, again: bool) -> str:
    name = _name(lead, node).ljust(width)
    if again:
        return f"{name}  (above)"
    mark = "*" if node.on_critical_path else " "
    last = f"last {seconds(node.last_s)}" if node.last_s is not None else "never run"
    row = f"{name}  {node.cache:<7} {mark} {short_digest(node.digest):<12}  {last}"
    return (f"{row}  {node.reason}" if node.cache == "miss" and node.reason else row).rstrip()


def _totals(plan: PlanView) -> list[str]:
    from banger.graph.render.plan_page import totals

    first, *rest = totals(plan)
    return [f"{first}; * is the critical path", *rest]
