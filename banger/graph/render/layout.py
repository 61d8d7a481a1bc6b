"""Where the boxes of a graph go: layers from left to right, and few crossings.

After Sugiyama, Tagawa and Toda (1981): a layer is the longest way to a node; an edge over several layers gets a
waypoint in each; sweeps put every node beside the mean of its neighbours. The same graph always looks the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

BOX_WIDTH = 224
BOX_HEIGHT = 46
LAYER_GAP = 64
ROW_GAP = 16
WAYPOINT_HEIGHT = 10
MARGIN = 24
_SWEEPS = 6

Waypoint = tuple[str, str, int]
"""An edge's place in a layer that it only passes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """In pixels: the upper left corner of each box, the points of each edge from box to box, and the whole."""

    boxes: Mapping[str, tuple[float, float]]
    edges: Mapping[tuple[str, str], Sequence[tuple[float, float]]]
    width: float
    height: float


def lay_out(depends_on: Mapping[str, Sequence[str]]) -> Layout:
    """Lay out a graph that is given in topological order."""
    level: dict[str, int] = {}
    for name, before in depends_on.items():
        level[name] = max((level[one] + 1 for one in before), default=0)
    layers: list[list[str | Waypoint]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in depends_on:
        layers[level[name]].append(name)
    chains: dict[tuple[str, str], list[str | Waypoint]] = {}
    for name, before in depends_on.items():
        for one in before:
            passed: list[str | Waypoint] = [(one, name, place) for place in range(level[one] + 1, level[name])]
            for place, waypoint in enumerate(passed, start=level[one] + 1):
                layers[place].append(waypoint)
            chains[one, name] = [one, *passed, name]
    _order(layers, list(chains.values()))
    return _place(layers, chains)


def _order(layers: list[list[str | Waypoint]], chains: Sequence[Sequence[str | Waypoint]]) -> None:
    left: dict[str | Waypoint, list[str | Waypoint]] = {}
    right: dict[str | Waypoint, list[str | Waypoint]] = {}
    for chain in chains:
        for one, other in pairwise(chain):
            left.setdefault(other, []).append(one)
            right.setdefault(one, []).append(other)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        neighbours = left if forward else right
        for layer in layers if forward else layers[::-1]:
            rank = {item: place for one in layers for place, item in enumerate(one)}
            mean = {item: _mean([rank[other] for other in neighbours.get(item, [])], rank[item]) for item in layer}
            layer.sort(key=lambda item: mean[item])


def _mean(values: Sequence[int], otherwise: int) -> float:
    return sum(values) / len(values) if values else float(otherwise)


def _place(
    layers: Sequence[Sequence[str | Waypoint]], chains: Mapping[tuple[str, str], Sequence[str | Waypoint]]
) -> Layout:
    heights = [sum(_height(item) + ROW_GAP for item in layer) - ROW_GAP for layer in layers]
    tallest = max(heights, default=0)
    boxes: dict[str, tuple[float, float]] = {}
    middle: dict[str | Waypoint, tuple[float, float]] = {}
    for place, layer in enumerate(layers):
        x = MARGIN + place * (BOX_WIDTH + LAYER_GAP)
        y = MARGIN + (tallest - heights[place]) / 2
        for item in layer:
            middle[item] = (x, y + _height(item) / 2)
            if isinstance(item, str):
                boxes[item] = (x, y)
            y += _height(item) + ROW_GAP
    edges = {edge: _points(chain, middle) for edge, chain in chains.items()}
    width = 2 * MARGIN + len(layers) * (BOX_WIDTH + LAYER_GAP) - LAYER_GAP
    return Layout(boxes, edges, max(width, 2 * MARGIN), tallest + 2 * MARGIN)


def _points(
    chain: Sequence[str | Waypoint], middle: Mapping[str | Waypoint, tuple[float, float]]
) -> list[tuple[float, float]]:
    """From the right side of the first box, straight through each waypoint, to the left side of the last."""
    points = [(middle[chain[0]][0] + BOX_WIDTH, middle[chain[0]][1])]
    for item in chain[1:-1]:
        x, y = middle[item]
        points += [(x, y), (x + BOX_WIDTH, y)]
    return [*points, middle[chain[-1]]]


def _height(item: str | Waypoint) -> int:
    return BOX_HEIGHT if isinstance(item, str) else WAYPOINT_HEIGHT
