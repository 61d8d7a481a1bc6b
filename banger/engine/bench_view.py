"""How long the stages of creates took: cold, warm and restored runs apart, with the critical path of the middle one."""

from collections.abc import Iterable

from banger.graph.timeline import critical_path
from banger.model.history import BenchMode, BenchStage, BenchView, Mode, RunView

MODES: tuple[Mode, ...] = ("cold", "warm", "restored")


def bench_view(runs: Iterable[RunView]) -> BenchView:
    """Put runs that succeeded together, the oldest first."""
    by_mode: dict[Mode, list[RunView]] = {mode: [] for mode in MODES}
    for view in runs:
        if view.run.mode in by_mode and view.run.seconds is not None:
            by_mode[view.run.mode].append(view)
    return BenchView([_mode(mode, found) for mode, found in by_mode.items() if found])


def _mode(mode: Mode, runs: list[RunView]) -> BenchMode:
    stages: dict[str, list[float]] = {}
    for view in runs:
        for node in view.nodes:
            if node.outcome == "done" and node.cache != "hit" and node.flavour != "release":
                stages.setdefault(node.id, []).append(node.finished_s - node.started_s)
    totals = [view.run.seconds or 0.0 for view in runs]
    middle = sorted(runs, key=lambda view: view.run.seconds or 0.0)[(len(runs) - 1) // 2]
    critical = {step.node for step in critical_path(middle)}
    return BenchMode(
        mode=mode,
        runs=len(runs),
        p50_s=quantile(totals, 0.5),
        p95_s=quantile(totals, 0.95),
        middle_run=middle.run.id,
        stages=[
            BenchStage(name, len(times), quantile(times, 0.5), quantile(times, 0.95), name in critical)
            for name, times in stages.items()
        ],
    )


def quantile(values: list[float], share: float) -> float:
    """The value below which that share of them lies, by linear interpolation between the nearest two."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
