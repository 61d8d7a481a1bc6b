"""Operations: work that outlives the request that asked for it, with events that any number of clients can follow.

An attached operation belongs to the client that follows it: when its last follower goes away, it is cancelled after a
short grace. A detached one runs to its end whoever listens.
"""

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import anyio
import anyio.abc

from banger.daemon.failures import CANCELLED, Failure, describe
from banger.daemon.service import Emit
from banger.model.errors import DaemonError, NotFoundError

GRACE_S = 2.0
"""How long an attached operation runs on without a follower."""
FIRST_FOLLOWER_S = 10.0
"""How long it waits for its first: on a busy host a client may need a while to take its answer and come back."""
KEPT_FINISHED = 64
EVENT_LIMIT = 5_000
"""Events kept for replay. Beyond it only the newest progress event of each node is kept."""

Work = Callable[[Emit], Awaitable[object]]


def json_value(value: object) -> object:
    """Turn a view, or a list of views, into what json.dumps takes."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, list):
        return [json_value(item) for item in value]
    return value


class Operation:
    """One piece of work under way or finished. Owned by `Operations`, which runs it."""

    def __init__(self, what: str, *, attached: bool) -> None:
        self.id = secrets.token_hex(8)
        self.what = what
        self.attached = attached
        self.finished = False
        self.followers = 0
        self.scope = anyio.CancelScope()
        self._log: list[tuple[int, Mapping[str, Any]]] = []
        self._next = 0
        self._changed = anyio.Event()

    def emit(self, event: Mapping[str, Any]) -> None:
        """Record one event and wake the followers."""
        assert not self.finished, f"operation {self.what}: event after its end"
        self._log.append((self._next, event))
        self._next += 1
        if len(self._log) > EVENT_LIMIT:
            self._log = _compact(self._log)
        self._wake()

    def finish(self, outcome: object | Failure) -> None:
        """Record the last event."""
        at = anyio.current_time()
        if isinstance(outcome, Failure):
            self.emit({
                "event": "error",
                "at": at,
                "code": outcome.code,
                "message": outcome.message,
                "hint": outcome.hint,
                "others": outcome.others,
            })  # fmt: skip
        else:
            self.emit({"event": "result", "at": at, "value": json_value(outcome)})
        self.finished = True
        self._wake()

    async def follow(self) -> AsyncIterator[bytes]:
        """Yield every event so far and then each as it comes, one JSON line each, until the last."""
        seen = -1
        while True:
            changed = self._changed
            fresh = [(number, event) for number, event in self._log if number > seen]
            for number, event in fresh:
                yield json.dumps(dict(event)).encode() + b"\n"
                seen = number
            if self.finished and seen == self._next - 1:
                return
            if not fresh:
                await changed.wait()

    async def wait(self) -> None:
        """Return when the operation has finished."""
        while not self.finished:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _compact(entries: list[tuple[int, Mapping[str, Any]]]) -> list[tuple[int, Mapping[str, Any]]]:
    newest = {event["id"]: number for number, event in entries if event["event"] == "progress"}
    return [
        (number, event)
        for number, event in entries
        if event["event"] != "progress" or newest[event["id"]] == number
    ]  # fmt: skip


class Operations:
    """All operations of this daemon. Runs them in the task group that it is given."""

    def __init__(self, group: anyio.abc.TaskGroup) -> None:
        self._group = group
        self._all: dict[str, Operation] = {}
        self._stopping = False

    def start(self, what: str, work: Work, *, attached: bool) -> Operation:
        """Begin some work. Raises DaemonError while the daemon is stopping."""
        if self._stopping:
            raise DaemonError(f"{what}: the daemon is stopping", hint="try again")
        operation = Operation(what, attached=attached)
        self._all[operation.id] = operation
        self._forget_old()
        self._group.start_soon(self._run, operation, work)
        if attached:
            self._group.start_soon(self._cancel_if_unfollowed, operation, FIRST_FOLLOWER_S)
        return operation

    def get(self, operation_id: str) -> Operation:
        """Return an operation by its id. Raises NotFoundError."""
        operation = self._all.get(operation_id)
        if operation is None:
            raise NotFoundError(f"operation {operation_id[:32]}: there is none such")
        return operation

    def under_way(self) -> list[Operation]:
        """Operations that have not finished."""
        return [operation for operation in self._all.values() if not operation.finished]

    async def follow(self, operation: Operation) -> AsyncIterator[bytes]:
        """Follow an operation, being counted as one of its followers."""
        operation.followers += 1
        try:
            async for line in operation.follow():
                yield line
        finally:
            operation.followers -= 1
            if operation.attached and not operation.finished and not self._stopping:
                self._group.start_soon(self._cancel_if_unfollowed, operation, GRACE_S)

    async def stop(self, deadline_s: float) -> None:
        """Take on nothing more, cancel what is under way and wait for it to be undone."""
        self._stopping = True
        pending = self.under_way()
        for operation in pending:
            operation.scope.cancel()
        with anyio.move_on_after(deadline_s):
            for operation in pending:
                await operation.wait()

    async def _run(self, operation: Operation, work: Work) -> None:
        outcome: object | Failure = CANCELLED
        try:
            with operation.scope:
                outcome = await work(operation.emit)
        except Exception as error:  # noqa: BLE001 - a boundary: every failure becomes the operation's last event
            outcome = describe(error, operation.what)
        finally:
            operation.finish(outcome)

    async def _cancel_if_unfollowed(self, operation: Operation, grace_s: float) -> None:
        await anyio.sleep(grace_s)
        if not operation.followers:
            operation.scope.cancel()

    def _forget_old(self) -> None:
        finished = [operation.id for operation in self._all.values() if operation.finished]
        for operation_id in finished[:-KEPT_FINISHED]:
            del self._all[operation_id]
