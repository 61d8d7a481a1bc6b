"""Named capacities, and the queue of nodes that are ready to claim them."""

import heapq
from collections.abc import Mapping

Claim = tuple[tuple[str, int], ...]


class Pools:
    """Claims are granted whole or not at all, so a blocked node holds nothing and no two nodes wait for each other."""

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self.capacities = dict(capacities)
        self.free = dict(capacities)
        self._queues: dict[Claim, list[tuple[float, int]]] = {}

    def unsatisfiable(self, claim: Claim) -> str | None:
        """Name the pool that can never grant this claim, if there is one."""
        return next((pool for pool, amount in claim if amount > self.capacities.get(pool, 0)), None)

    def push(self, claim: Claim, priority: float, node: int) -> None:
        """Queue a ready node; higher priority starts first, then the lower number."""
        heapq.heappush(self._queues.setdefault(claim, []), (-priority, node))

    def pop(self) -> int | None:
        """Claim for, and return, the best node whose claim can be granted now.

        One queue for each distinct claim: its head stands for all of it, so the work is in the number of distinct
        claims (a handful), not of nodes.
        """
        best: Claim | None = None
        for claim, queue in self._queues.items():
            if queue and self._fits(claim) and (best is None or queue[0] < self._queues[best][0]):
                best = claim
        if best is None:
            return None
        for pool, amount in best:
            self.free[pool] -= amount
        return heapq.heappop(self._queues[best])[1]

    def release(self, claim: Claim) -> None:
        """Give a claim back."""
        for pool, amount in claim:
            self.free[pool] += amount
            assert self.free[pool] <= self.capacities[pool], f"pool {pool} was released twice"

    def drain(self) -> list[int]:
        """Empty the queue and return the nodes in it, by number."""
        nodes = sorted(node for queue in self._queues.values() for _, node in queue)
        self._queues.clear()
        return nodes

    def _fits(self, claim: Claim) -> bool:
        return all(self.free[pool] >= amount for pool, amount in claim)
