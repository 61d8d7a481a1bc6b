"""What is told of past runs: rows, whole runs, and why a node ran."""

from collections.abc import Mapping

from banger.graph.explain import Story, explain
from banger.model.errors import NotFoundError
from banger.model.history import (
    ChangeView,
    ClaimView,
    Mode,
    PoolView,
    RunNodeView,
    RunRow,
    RunView,
    SpanView,
    WhyStepView,
    WhyView,
)
from banger.model.story import Recorded, ToldNode
from banger.store.history import NEWEST, PastRun
from banger.store.runs import NodeRun
from banger.store.state import State

_NS = 1e9
_LOOKED_THROUGH = 50
GUEST_AGENT = "guest.agent"
"""Its answer is when the guest's boot reached each stage, in ns after the guest's kernel began."""


def story_of(state: State, run_id: str) -> dict[str, Recorded]:
    """What explains a run, by node in topological order; empty if it is not kept any more."""
    graph = state.history.graph(run_id)
    last: dict[str, NodeRun] = {one.node: one for one in state.history.times(run_id)}
    wanted = {one for node in graph for one in (node.digest, node.output) if one is not None}
    documents = state.history.documents(wanted)
    story = {}
    for node in graph:
        time = last.get(node.id)
        document = documents.get(node.digest) if node.digest is not None else None
        value = documents.get(node.output) if node.output is not None else None
        cache, outcome = (time.cache, time.outcome) if time else ("none", "skipped")
        story[node.id] = Recorded(node, cache, outcome, document, value)  # type: ignore[arg-type]
    return story


def mode_of(nodes: list[NodeRun]) -> Mode:
    """What sort of run it was."""
    done = [one for one in nodes if one.outcome == "done" and one.flavour != "release"]
    if not any(one.kind in {"vm.boot", "vm.restore"} for one in done):
        return "other"
    if any(one.flavour == "build" and one.cache == "miss" for one in done):
        return "cold"
    return "restored" if any(one.kind == "vm.restore" for one in done) else "warm"


def run_row(run: PastRun, nodes: list[NodeRun]) -> RunRow:
    """One run, in short."""
    cached = sum(one.cache == "hit" for one in nodes)
    ran = sum(one.outcome == "done" and one.cache != "hit" and one.flavour != "release" for one in nodes)
    mode = mode_of(nodes)
    return RunRow(run.id, run.what, run.started_at, mode, run.seconds, run.outcome, run.vm_id, cached, ran)


def run_rows(state: State, limit: int, what: str | None) -> list[RunRow]:
    """The newest runs, the newest first."""
    return [run_row(run, state.history.times(run.id)) for run in state.history.runs(limit, what)]


def run_view(state: State, ref: str, capacities: Mapping[str, int]) -> RunView:
    """One run with its nodes. Raises NotFoundError."""
    run = state.history.find(ref)
    times = state.history.times(run.id)
    graph = {node.id: node for node in state.history.graph(run.id)}
    bound = _what_hits_waited_for(times, graph)
    nodes = [_node_view(one, graph.get(one.node), bound.get(one.node)) for one in times]
    used = {claim.pool for node in nodes if node.cache != "hit" for claim in node.claims}
    pools = [PoolView(pool, amount) for pool, amount in sorted(capacities.items()) if pool in used]
    return RunView(run_row(run, times), nodes, _guest_spans(state, times, graph), pools)


def why_view(state: State, node: str, run: str | None, against: str | None) -> WhyView:
    """Why a node ran in `run` (the newest that has it), beside `against` (the one of the same sort before it)."""
    found = state.history.find(run) if run else _newest_with(state, node)
    earlier = state.history.find(against) if against else state.history.before(found)
    after = story_of(state, found.id)
    before: Story = story_of(state, earlier.id) if earlier else {}
    if node not in after:
        kept = "has no such node" if after else "is too old: what it was made from is not kept"
        raise NotFoundError(f"{node[:80]}: run {found.id[:12]} {kept}", hint=f"banger runs show {found.id[:12]}")
    result = explain(node, before, after)
    return WhyView(
        node=node,
        run=run_row(found, state.history.times(found.id)),
        against=run_row(earlier, state.history.times(earlier.id)) if earlier else None,
        cache=after[node].cache,
        outcome=after[node].outcome,
        reason=result.reason,
        steps=[
            WhyStepView(
                step.node,
                after[step.node].told.kind,
                after[step.node].told.label,
                step.reason,
                [ChangeView(one.path, one.before, one.after) for one in step.differences],
                step.leaf,
            )
            for step in result.steps
        ],
        stale=list(result.stale),
        unmoved=list(result.unmoved),
    )


def _newest_with(state: State, node: str) -> PastRun:
    """The newest run that has the node: the last one may have been a deletion."""
    for run in state.history.likeliest(_LOOKED_THROUGH):
        if any(one.id == node for one in state.history.graph(run.id)):
            return run
    state.history.find(NEWEST)  # says so if there is none at all
    raise NotFoundError(f"no recent run has a node {node[:80]!r}", hint="banger runs show last")


def _what_hits_waited_for(times: list[NodeRun], graph: Mapping[str, ToldNode]) -> dict[str, str]:
    """A node that was looked up late waited for what had to run below it, though it did not have to run itself.

    Only those: what was found at the beginning waited for nothing.
    """
    last = {one.node: one for one in times}
    bound: dict[str, str] = {}
    for name, told in graph.items():  # in topological order
        time = last.get(name)
        below = [last[one] for one in told.depends_on() if one in last]
        if time is None or time.cache != "hit" or time.bound_by is not None or not below:
            continue
        latest = max(below, key=lambda one: one.published_s)
        if latest.cache != "hit" or latest.node in bound:
            bound[name] = latest.node
    return bound


def _node_view(time: NodeRun, told: ToldNode | None, bound_by: str | None) -> RunNodeView:
    return RunNodeView(
        id=time.node,
        kind=time.kind,
        flavour=str(time.flavour),
        label=told.label if told else "",
        cache=time.cache,
        outcome=time.outcome,
        attempt=time.attempt,
        ready_s=time.queued_s,
        claimed_s=time.claimed_s,
        started_s=time.started_s,
        finished_s=time.finished_s,
        published_s=time.published_s,
        bound_by=time.bound_by or bound_by,
        digest=time.digest,
        output=told.output if told else None,
        size_bytes=told.size_bytes if told else None,
        network=bool(told and told.network),
        privileged=bool(told and told.privileged),
        claims=[ClaimView(pool, amount) for pool, amount in told.pools] if told else [],
        depends_on=told.depends_on() if told else [],
    )


def _guest_spans(state: State, times: list[NodeRun], graph: Mapping[str, ToldNode]) -> list[SpanView]:
    """The guest's boot, stage by stage. Its clock is put on ours by its last stage, which ended when it answered.

    So every stage is at most as much too late as the answer took to arrive.
    """
    vmm = next((one for one in times if one.kind == "vm.boot" and one.outcome == "done"), None)
    agent = next((one for one in times if one.kind == GUEST_AGENT and one.outcome == "done"), None)
    if vmm is None:  # a restored guest tells of the boot of its template, which was in another run
        return []
    output = graph[agent.node].output if agent and agent.node in graph else None
    stages = state.history.documents([output]).get(output) if output is not None else None
    if agent is None or not isinstance(stages, dict):
        return []
    reached = sorted((at / _NS, name) for name, at in stages.items() if isinstance(at, int))
    if not reached:
        return []
    kernel_s = agent.finished_s - reached[-1][0]
    spans = []
    if vmm.started_s <= kernel_s:
        spans.append(SpanView(vmm.node, "vmm and firmware", vmm.started_s, kernel_s))
    before_s = 0.0
    for at_s, name in reached:
        shown = f"kernel, to {name}" if before_s == 0.0 else name
        spans.append(SpanView(agent.node, shown, kernel_s + before_s, kernel_s + at_s))
        before_s = at_s
    return spans
