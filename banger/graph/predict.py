"""How long a run will take: the scheduler itself, run against a clock that only counts.

So the prediction knows pools, priorities and releases by the same rules as the run that it predicts.
"""

import heapq
from collections import deque
from collections.abc import Collection, Mapping

import msgspec

from banger.graph.build import Graph
from banger.graph.events import Begin, Event, Execute, Finished, LookedUp, Lookup
from banger.graph.scheduler import Scheduler
from banger.model.action import Output

_NOTHING = Output(None)


class Prediction(msgspec.Struct, frozen=True):
    """Seconds since the start, by node; hits start and end at once. `bound_by`: what each node will wait for last."""

    starts: dict[str, float]
    ends: dict[str, float]
    bound_by: dict[str, str | None]

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return max(self.ends.values(), default=0.0)


def predict(
    graph: Graph, capacities: Mapping[str, int], expected: Mapping[str, float], hits: Collection[str]
) -> Prediction:
    """Run a graph on paper. `expected`: seconds of each node that will run, 0 if it is not said."""
    scheduler = Scheduler(graph, capacities, weights={name: expected.get(name, 0.0) for name in graph.nodes})
    told = Prediction({}, {}, {})
    running: list[tuple[float, int, str]] = []
    now, count = 0.0, 0
    events: deque[Event] = deque((Begin(),))
    while events:
        for command in scheduler.handle(events.popleft()):
            if isinstance(command, Lookup):
                hit = command.node in hits
                if hit:
                    told.starts[command.node] = told.ends[command.node] = now
                events.append(LookedUp(command.node, _NOTHING if hit else None))
            elif isinstance(command, Execute):
                told.starts[command.node] = now
                told.bound_by[command.node] = command.granted_by or command.freed_by
                heapq.heappush(running, (now + expected.get(command.node, 0.0), count, command.node))
                count += 1
        if not events and running:
            now, _, node = heapq.heappop(running)
            told.ends[node] = now
            events.append(Finished(node, _NOTHING))
    return told
