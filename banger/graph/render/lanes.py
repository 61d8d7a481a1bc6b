"""Which row each attempt of a run is drawn in: one after another where they do not overlap, pool by pool."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from banger.model.history import RunNodeView

T = TypeVar("T")


def pack(intervals: Iterable[tuple[float, float, T]]) -> list[list[T]]:
    """Put (start, end, item) into as few rows as there are at once, each into the first that is free."""
    rows: list[list[T]] = []
    ends: list[float] = []
    for start, end, item in sorted(intervals, key=lambda one: one[0]):
        place = next((place for place, busy_until in enumerate(ends) if busy_until <= start), None)
        if place is None:
            rows.append([])
            ends.append(0.0)
            place = len(rows) - 1
        rows[place].append(item)
        ends[place] = end
    return rows


def lanes(nodes: Sequence[RunNodeView]) -> list[tuple[str, list[RunNodeView]]]:
    """Rows with their names: `cpu 1`, `cpu 2`, one for each slot of a pool that was in use at once; then the rest."""
    groups: dict[str, list[RunNodeView]] = {}
    for node in nodes:
        if node.cache != "hit" or node.finished_s > node.started_s:
            groups.setdefault(node.claims[0].pool if node.claims else node.flavour, []).append(node)
    rows: list[tuple[str, list[RunNodeView]]] = []
    for name, members in groups.items():
        packed = pack((node.claimed_s, node.published_s, node) for node in members)
        rows += [(f"{name} {number}" if len(packed) > 1 else name, row) for number, row in enumerate(packed, start=1)]
    return rows
