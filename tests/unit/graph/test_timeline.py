"""Where the time of a run went."""

import random
from dataclasses import replace

import pytest

from banger.graph.timeline import critical_path, least_possible, stage_totals, wall_without
from banger.model.history import RunNodeView, RunRow, RunView
from tests.fakes import history


def test_the_steps_of_the_critical_path_make_up_the_run() -> None:
    for view in history.views():
        assert sum(step.exclusive_s for step in critical_path(view)) == pytest.approx(view.run.seconds)


def test_who_held_the_pool_is_on_the_path_and_the_wait_for_it_is_told() -> None:
    steps = critical_path(history.run_view(2))
    assert [step.node for step in steps] == ["disk.work", "disk.rootfs", "vm.boot", "guest.agent"]
    assert [step.exclusive_s for step in steps] == [0.5, 0.25, 0.25, 1.0]
    assert steps[3].share == pytest.approx(0.5)
    assert history.run_view(2).nodes[2].claimed_s == 0.5  # it waited for the pool
    assert steps[1].stages["resources"] == 0.0  # but that is the time of the one that held it


def test_if_nothing_is_free_the_run_takes_what_it_took() -> None:
    for view in history.views():
        assert wall_without(view, None) == pytest.approx(view.run.seconds)


def test_a_step_that_is_free_shortens_the_run_by_no_more_than_its_time() -> None:
    view = history.run_view(2)
    assert wall_without(view, "guest.agent") == pytest.approx(1.0)
    assert wall_without(view, "vm.boot") == pytest.approx(1.75)
    # Without the wait for the pool, nothing else holds the next one up.
    assert wall_without(view, "disk.work") == pytest.approx(1.5)


def test_a_node_beside_the_path_changes_nothing() -> None:
    view = history.run_view(1)
    assert wall_without(view, "disk.work") == pytest.approx(view.run.seconds)
    assert "disk.work" not in {step.node for step in critical_path(view)}


@pytest.mark.parametrize("seed", range(30))
def test_any_run_is_made_up_by_its_path_and_no_step_is_worth_more_than_it_took(seed: int) -> None:
    view = _random_run(random.Random(seed))
    steps = critical_path(view)
    assert view.run.seconds is not None
    assert sum(step.exclusive_s for step in steps) == pytest.approx(view.run.seconds)
    assert all(step.exclusive_s >= -1e-9 for step in steps)
    assert wall_without(view, None) == pytest.approx(view.run.seconds)
    for step in steps:
        assert view.run.seconds - step.exclusive_s - 1e-9 <= step.if_free_s <= view.run.seconds + 1e-9
    assert max(least_possible(view).values()) <= view.run.seconds + 1e-9


def test_a_step_that_was_tried_again_follows_its_first_attempt() -> None:
    view = history.run_view(2)
    first = replace(view.nodes[3], outcome="retrying")
    again = replace(first, outcome="done", attempt=2, ready_s=1.0, claimed_s=1.2, started_s=1.2, finished_s=1.5)
    again = replace(again, published_s=1.5, bound_by="vm.boot")
    view = replace(view, nodes=[*view.nodes[:3], first, again], run=replace(view.run, seconds=1.5))
    assert [(step.node, step.attempt) for step in critical_path(view)][-2:] == [("vm.boot", 1), ("vm.boot", 2)]
    assert critical_path(view)[-1].stages["resources"] == pytest.approx(0.2)


def test_the_work_of_all_nodes_is_summed_by_stage() -> None:
    totals = stage_totals(history.run_view(1))
    assert totals == pytest.approx({"resources": 0.5, "dispatch": 0.1, "run": 5.8, "publish": 0.1})


def _random_run(rng: random.Random) -> RunView:
    """As an engine records it: each node starts when the last of its predecessors has ended."""
    nodes: list[RunNodeView] = []
    for number in range(rng.randint(1, 25)):
        before = rng.sample(nodes, min(len(nodes), rng.randint(0, 3)))
        last = max(before, key=lambda one: one.published_s, default=None)
        at = last.published_s if last else 0.0
        times = [at]
        for _ in range(4):
            times.append(times[-1] + rng.choice((0.0, 0.01, 1.0)) * rng.random())
        one = history.node(
            f"n{number}",
            "build",
            (times[0], times[1], times[2], times[3], times[4]),
            bound_by=last.id if last else None,
            depends_on=[other.id for other in before],
        )
        nodes.append(one)
    wall_s = max(one.published_s for one in nodes)
    return RunView(RunRow("r", "test", 0.0, "other", wall_s), nodes)
