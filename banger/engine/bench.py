"""The engine's own cost: a synthetic graph through it, with nothing left out but work."""

import gc
import resource
from dataclasses import dataclass
from pathlib import Path
from time import process_time

from banger.engine.run import Engine
from banger.plan.synthetic import plan_synthetic
from banger.store.state import join_state


@dataclass(frozen=True, slots=True)
class GraphBench:
    """One run. `seconds` from before the state directory was opened to after the run was on record.

    `cpu_us_per_node`: of the time that this process had a processor in between; other programs change that little.
    """

    nodes: int
    ran: int
    cached: int
    seconds: float
    us_per_node: float
    cpu_us_per_node: float
    peak_mib: float

    def cells(self) -> list[str]:
        """As a table shows it."""
        figures = [
            f"{self.seconds:.3f}",
            f"{self.us_per_node:.1f}",
            f"{self.cpu_us_per_node:.1f}",
            f"{self.peak_mib:.1f}",
        ]
        return [str(self.nodes), str(self.ran), str(self.cached), *figures]


def bench_graph(directory: Path, *, nodes: int, layers: int, fan_in: int, change: int) -> GraphBench:
    """Run the graph of `banger.plan.synthetic` in a state directory, as a guest of it."""
    # Nothing that a plan is made of becomes garbage before this process ends; to look for it is half of a null run.
    gc.disable()
    state = join_state(directory)
    try:
        begun, cpu_begun = state.clock.monotonic(), process_time()
        source = round(state.clock.wall() * 1e6)
        plan = plan_synthetic(nodes, layers, fan_in, changed=change, source=source)
        run = Engine(state).run_blocking(plan, None)
        seconds, cpu_s = state.clock.monotonic() - begun, process_time() - cpu_begun
    finally:
        state.close()
    gc.freeze()  # nor at its end
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    per_node = 1e6 / nodes
    ran, cached = run.observer.ran, run.observer.cached
    return GraphBench(nodes, ran, cached, seconds, seconds * per_node, cpu_s * per_node, peak_mib)
