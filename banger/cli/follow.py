"""Follow an operation to its end. Ctrl-C cancels it and waits until it is undone; a second Ctrl-C stops waiting."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import cast

from banger.cli.client import Client, remote_error
from banger.cli.decode import decode
from banger.cli.progress import Progress
from banger.model.errors import BangerError, DaemonError
from banger.model.progress import ErrorEvent, Event
from banger.model.views import OperationView


class InterruptedTooLateError(KeyboardInterrupt):
    """Ctrl-C was pressed, but the operation had succeeded before it took effect; `value` is its result."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


def follow(
    client: Client,
    answer: object,
    progress: Progress,
    *,
    timeout_s: float | None = None,
    others: Sequence[OperationView] = (),
) -> object:
    """Show an operation's events and return its result.

    `answer` is what the daemon said when it took the operation on. `others`: operations that Ctrl-C cancels too.
    Raises the operation's error, or KeyboardInterrupt if it ended because of one.
    """
    operation = answer if isinstance(answer, OperationView) else decode(OperationView, answer)
    with _cancelling(client, [operation, *others], progress) as pressed:
        for raw in client.stream(f"/v1/operations/{operation.id}/events", timeout_s):
            event = cast("Event", raw)
            if event["event"] == "result":
                if pressed:
                    raise InterruptedTooLateError(event["value"])
                return event["value"]
            if event["event"] == "error":
                raise _error(event, operation, progress, interrupted=bool(pressed))
            progress.show(event)
    raise DaemonError(f"{operation.what}: the daemon stopped telling how it goes", hint="banger daemon status")


def _error(event: ErrorEvent, operation: OperationView, progress: Progress, *, interrupted: bool) -> BaseException:
    for other in event["others"]:
        progress.say(f"also: {other}")
    if event["code"] != "cancelled":
        return remote_error(event["code"], event["message"], event["hint"])
    return KeyboardInterrupt() if interrupted else BangerError(f"{operation.what}: cancelled")


@contextmanager
def _cancelling(client: Client, operations: Sequence[OperationView], progress: Progress) -> Iterator[list[int]]:
    """Have SIGINT ask the daemon to cancel. The handler does not raise, so the stream of events goes on."""
    pressed: list[int] = []

    def cancel(number: int, _frame: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)
        progress.say("cancelling; press Ctrl-C again to leave at once")
        for operation in operations:
            with suppress(BangerError), client.another() as other:
                other.delete(f"/v1/operations/{operation.id}")

    before = signal.signal(signal.SIGINT, cancel)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
