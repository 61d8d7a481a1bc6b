"""A graph of nodes that do nothing, to measure what the engine itself costs."""

from banger.plan import Plan
from banger.tasks import Ref
from banger.tasks.bench_node import BenchNode


def plan_synthetic(nodes: int, layers: int, fan_in: int, *, changed: int = 0, source: int = 0) -> Plan:
    """Plan `layers` layers; each node needs `fan_in` neighbours in the layer above. `nodes` is split evenly.

    `source` is the content, so to speak, of a file that the first `changed` nodes read.
    """
    plan = Plan("bench.graph")
    width = max(1, nodes // layers)
    above: list[Ref[int]] = []  # those of the last layer, and the first of them again: neighbours go round
    for begin in range(0, nodes, width):
        row: list[Ref[int]] = []
        for number in range(begin, min(begin + width, nodes)):
            place = number - begin
            task = BenchNode(
                number=number,
                source=source if number < changed else 0,
                before=tuple(above[place : place + fan_in]),
            )
            row.append(plan.add(task, node=f"n{number}"))
        above = (row * (1 + fan_in))[: len(row) + min(fan_in, len(row)) - 1] if fan_in else []
    return plan
