"""Named capacities that all runs share, and for each run the queue of nodes that are ready to claim them."""

import heapq
from collections.abc import Mapping

import msgspec

Claim = tuple[tuple[str, int], ...]

PATIENCE = 64
"""How often others may be served before a claim that does not fit; then what it needs is saved up for it."""


class _Line(msgspec.Struct, eq=False):
    """The nodes of one run that have the same claim. Its head stands for all of it."""

    claim: Claim
    heap: list[tuple[float, int]] = []
    passed_over: int = 0


class Pools:
    """Claims are granted whole or not at all, so a blocked node holds nothing and no two nodes wait for each other.

    A claim that does not fit is passed over, but not for ever: the one that was passed over most often, and more than
    `PATIENCE` times, is next to get what it waits for. Work per grant is in the number of distinct claims, a handful.
    """

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self.capacities = dict(capacities)
        self.free = dict(capacities)
        self.turns = 0
        """Grows whenever somebody who could not be served may be served now."""
        self._starving = False  # perhaps a line was passed over too often
        self._lines: dict[_Line, None] = {}  # those with somebody in them, in the order in which they formed

    def refusal(self, claim: Claim) -> str | None:
        """Say why this claim can never be granted; None if it can."""
        for pool, amount in claim:
            have = self.capacities.get(pool, 0)
            if amount > have:
                return f"needs {amount} of {pool}, and there are {have} in all"
        return None

    def give_back(self, claim: Claim) -> None:
        """Make what was claimed free."""
        self.turns += 1
        for pool, amount in claim:
            self.free[pool] += amount
            assert self.free[pool] <= self.capacities[pool], f"pool {pool} was released twice"

    def may_take(self, line: _Line) -> bool:
        """Whether the head of a line can be granted its claim now."""
        if not self._fits(line.claim):
            return False
        saving = self._saving_for() if self._starving else None
        return saving is None or saving is line or not _overlap(saving.claim, line.claim)

    def take(self, line: _Line) -> int:
        """Grant the head of a line its claim, and return it."""
        for pool, amount in line.claim:
            self.free[pool] -= amount
        if line.passed_over:
            line.passed_over = 0
            self._starving = self._saving_for() is not None
        _, node = heapq.heappop(line.heap)
        if not line.heap:
            del self._lines[line]
        for other in self._lines:
            if other is not line and _overlap(other.claim, line.claim) and not self._fits(other.claim):
                other.passed_over += 1
                self._starving = self._starving or other.passed_over >= PATIENCE
        return node

    def join(self, line: _Line) -> None:
        """Note that somebody is in the line."""
        self._lines[line] = None

    def leave(self, line: _Line) -> None:
        """Note that nobody is in the line any more."""
        self.turns += 1
        self._lines.pop(line, None)

    def _saving_for(self) -> _Line | None:
        starved = [line for line in self._lines if line.passed_over >= PATIENCE]
        return max(starved, key=lambda line: line.passed_over, default=None)

    def _fits(self, claim: Claim) -> bool:
        for pool, amount in claim:  # noqa: SIM110 - a generator costs more than all of this
            if self.free[pool] < amount:
                return False
        return True


class Queue:
    """The nodes of one run that are ready; higher priority starts first, then the lower number."""

    def __init__(self, pools: Pools) -> None:
        self.pools = pools
        self._lines: dict[Claim, _Line] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def push(self, claim: Claim, priority: float, node: int) -> None:
        """Queue a ready node."""
        line = self._lines.get(claim)
        if line is None:
            line = self._lines[claim] = _Line(claim)
        heapq.heappush(line.heap, (-priority, node))
        self.pools.join(line)
        self._waiting += 1

    def pop(self) -> int | None:
        """Claim for, and return, the best node whose claim can be granted now."""
        if not self._waiting:
            return None
        best: _Line | None = None
        for line in self._lines.values():
            if line.heap and (best is None or line.heap[0] < best.heap[0]) and self.pools.may_take(line):
                best = line
        if best is None:
            return None
        self._waiting -= 1
        return self.pools.take(best)

    def drain(self) -> list[int]:
        """Empty the queue and return the nodes in it, by number."""
        nodes = sorted(node for line in self._lines.values() for _, node in line.heap)
        for line in self._lines.values():
            line.heap.clear()
            self.pools.leave(line)
        self._waiting = 0
        return nodes


def _overlap(one: Claim, other: Claim) -> bool:
    return any(pool == another for pool, _ in one for another, _ in other)
