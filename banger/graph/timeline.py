"""Where the time of a run went: its critical path, what each step of it cost, and what would be if it were free.

The path is walked back from the last node to end by what each one *really* waited for last: a predecessor, or a node
that held what it claimed. The exclusive time of a step is what it added to the run after the step before it had ended;
together with what came before the first and after the last node, the steps make up the run.
"""

from collections.abc import Mapping

import msgspec

from banger.model.history import RunNodeView, RunView

STAGES = ("inputs", "resources", "dispatch", "run", "publish")
"""Waiting for predecessors, for pools, to be started; running; being recorded and told."""


class PathStep(msgspec.Struct, frozen=True):
    """One attempt on the critical path. `share` of the run's time; `if_free_s`: the run's, had this one taken none."""

    node: str
    attempt: int
    exclusive_s: float
    share: float
    if_free_s: float
    stages: dict[str, float]


def critical_path(view: RunView) -> list[PathStep]:
    """The steps in the order in which they happened."""
    path = _walk_back(view)
    wall_s = view.run.seconds or 0.0
    steps = []
    before_s = 0.0
    for node in path:
        exclusive_s = node.published_s - before_s
        steps.append(
            PathStep(
                node=node.id,
                attempt=node.attempt,
                exclusive_s=exclusive_s,
                share=exclusive_s / wall_s if wall_s else 0.0,
                if_free_s=wall_without(view, node.id),
                stages=_after(node, before_s),
            )
        )
        before_s = node.published_s
    return steps


def stage_totals(view: RunView) -> dict[str, float]:
    """Seconds of each stage, summed over all nodes that ran; `inputs` is not work that anybody did, and is left out."""
    totals: dict[str, float] = dict.fromkeys(STAGES[1:], 0.0)
    for node in view.nodes:
        for name, seconds in _after(node, node.ready_s).items():
            if name in totals:
                totals[name] += seconds
    return totals


def wall_without(view: RunView, free: str | None) -> float:
    """The run's seconds if one node had taken none, all else being as it was; None: none of them is free.

    One pass over the nodes: each lasts as long as it did after what it waited for, and nothing waits for what it did
    not wait for then.
    """
    ends: dict[tuple[str, int], float] = {}
    was: dict[tuple[str, int], float] = {}
    newest: dict[str, int] = {}
    for node in sorted(view.nodes, key=lambda one: (one.published_s, one.started_s)):
        keys = [(name, newest[name]) for name in {*node.depends_on, node.bound_by or ""} if name in newest]
        began = max((ends[key] for key in keys), default=0.0)
        took = node.published_s - max((was[key] for key in keys), default=0.0)
        key = (node.id, node.attempt)
        ends[key] = began if node.id == free else began + took
        was[key] = node.published_s
        newest[node.id] = node.attempt
    wall_s = view.run.seconds or 0.0
    return max(ends.values(), default=0.0) + wall_s - max(was.values(), default=0.0)


def least_possible(view: RunView) -> dict[str, float]:
    """Three floors of the run's time: the longest chain of nodes, all work in a row, and the fullest pool's share."""
    work = {node.id: node.finished_s - node.started_s for node in view.nodes}
    longest: dict[str, float] = {}
    for node in sorted(view.nodes, key=lambda one: one.published_s):
        longest[node.id] = work[node.id] + max((longest.get(one, 0.0) for one in node.depends_on), default=0.0)
    floors = {"longest chain": max(longest.values(), default=0.0)}
    for pool in view.pools:
        held = sum(
            (node.published_s - node.claimed_s) * claim.amount
            for node in view.nodes
            for claim in node.claims
            if claim.pool == pool.name
        )
        floors[f"pool {pool.name}"] = held / pool.capacity
    return floors


def _walk_back(view: RunView) -> list[RunNodeView]:
    attempts: dict[str, dict[int, RunNodeView]] = {}
    for one in view.nodes:
        attempts.setdefault(one.id, {})[one.attempt] = one
    path: list[RunNodeView] = []
    seen: set[tuple[str, int]] = set()
    at: RunNodeView | None = max(view.nodes, key=lambda one: (one.published_s, one.started_s), default=None)
    while at is not None and (at.id, at.attempt) not in seen:
        seen.add((at.id, at.attempt))
        path.append(at)
        at = _binding(at, attempts)
    return path[::-1]


def _binding(node: RunNodeView, attempts: Mapping[str, Mapping[int, RunNodeView]]) -> RunNodeView | None:
    if node.attempt > 1:
        return attempts[node.id].get(node.attempt - 1)
    found = attempts.get(node.bound_by or "", {})
    return found[max(found)] if found else None


def _after(node: RunNodeView, since_s: float) -> dict[str, float]:
    """The stages of an attempt, as far as they lie after a point in time."""
    marks = (0.0, node.ready_s, node.claimed_s, node.started_s, node.finished_s, node.published_s)
    return {
        name: max(0.0, end - max(begin, since_s))
        for name, begin, end in zip(STAGES, marks[:-1], marks[1:], strict=True)
    }
