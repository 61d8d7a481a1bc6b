"""Successes on their way into the action cache: written in groups, since a commit costs twenty times what a row does.

What is lost when the machine stops is the record of at most `EVERY_S` of work, never an artifact; it is made again. So
a Build may count as done before its record is durable, but nobody else is let in on it: a claim is given back after.
"""

from collections.abc import Mapping

from banger.model.action import Output
from banger.model.clock import Clock
from banger.model.digest import Canonical, Digest
from banger.store.actions import ActionCache
from banger.store.claims import Claims

EVERY_S = 0.1
MOST_ROWS = 1000


class Recorder:
    """The one way by which Builds reach the action cache."""

    def __init__(self, actions: ActionCache, claims: Claims, clock: Clock) -> None:
        self._actions = actions
        self._claims = claims
        self._clock = clock
        self._rows: dict[Digest, tuple[object, ...]] = {}
        self._outputs: dict[Digest, Output] = {}
        self._written_at = clock.monotonic()
        self._puts = 0

    def __len__(self) -> int:
        """How many are not written yet."""
        return len(self._rows)

    def __contains__(self, digest: Digest) -> bool:
        """Whether that one is not written yet: it is ours until it is."""
        return digest in self._rows

    def mark(self) -> tuple[bytes, int]:
        """Changes whenever a record is put: the first part by other processes, the second by one for each of ours."""
        return self._claims.announced(), self._puts

    def get(self, digest: Digest) -> Output | None:
        """The remembered output as it is this moment, whichever process recorded it."""
        pending = self._outputs.get(digest)
        return self._actions.get(digest) if pending is None else self._actions.if_whole(pending)

    def put(
        self,
        digest: Digest,
        document: Mapping[str, Canonical],
        output: Output,
        *,
        label: str,
        run_id: str,
        seconds: float,
    ) -> None:
        """Remember a success. Its claim is given back once it is durable: at once, if nothing was for `EVERY_S`."""
        self._rows[digest] = self._actions.row(digest, document, output, label=label, run_id=run_id, seconds=seconds)
        self._outputs[digest] = output
        self._puts += 1
        if len(self._rows) >= MOST_ROWS or self._clock.monotonic() - self._written_at >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Make everything durable. Never inside a transaction: that would give claims back before it is committed."""
        self._written_at = self._clock.monotonic()
        if not self._rows:
            return
        assert not self._actions.in_transaction, "the records would not be durable yet"
        self._actions.put_rows(self._rows.values())
        self._claims.announce()
        self._claims.give_back(*self._rows)
        self._rows.clear()
        self._outputs.clear()
