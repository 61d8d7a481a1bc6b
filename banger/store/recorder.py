"""Successes on their way into the action cache: written in groups, since a commit costs twenty times what a row does.

What is lost when the machine stops is the record of at most `EVERY_S` of work, never an artifact; it is made again. So
a Build may count as done before its record is durable, but nobody else is let in on it: a claim is given back after.
"""

from collections.abc import Callable, Mapping

from banger.model.action import Output
from banger.model.clock import Clock
from banger.model.digest import Canonical, Digest
from banger.store.actions import ActionCache

EVERY_S = 0.1
MOST_ROWS = 1000


class Recorder:
    """The one way by which Builds reach the action cache."""

    def __init__(self, actions: ActionCache, clock: Clock) -> None:
        self._actions = actions
        self._clock = clock
        self._rows: dict[Digest, tuple[object, ...]] = {}
        self._outputs: dict[Digest, Output] = {}
        self._then: list[Callable[[], None]] = []
        self._written_at = clock.monotonic()
        self._puts = 0

    def __len__(self) -> int:
        """How many are not written yet."""
        return len(self._rows)

    def mark(self) -> tuple[int, int]:
        """Changes whenever a record is put: the first number by another process, the second by one for each of ours.

        (PRAGMA data_version tells whether another connection has written to the database.)
        """
        return self._actions.data_version(), self._puts

    def get(self, digest: Digest) -> Output | None:
        """The remembered output as it is this moment, whichever process recorded it."""
        pending = self._outputs.get(digest)
        return self._actions.get(digest) if pending is None else pending

    def put(  # noqa: PLR0913 - a record has this many parts
        self,
        digest: Digest,
        document: Mapping[str, Canonical],
        output: Output,
        *,
        label: str,
        run_id: str,
        seconds: float,
        then: Callable[[], None],
    ) -> None:
        """Remember a success; `then` is called once it is durable. Written at once if nothing was for `EVERY_S`."""
        self._rows[digest] = self._actions.row(
            digest, document, output, label=label, run_id=run_id, seconds=seconds
        )
        self._outputs[digest] = output
        self._puts += 1
        self._then.append(then)
        if len(self._rows) >= MOST_ROWS or self._clock.monotonic() - self._written_at >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Make everything durable."""
        self._written_at = self._clock.monotonic()
        if not self._rows:
            return
        self._actions.put_rows(self._rows.values())
        self._rows.clear()
        self._outputs.clear()
        for call in self._then:
            call()
        self._then.clear()
