"""Have the daemon do something, and wait for it. No signal is handled here: a library's caller does that."""

from collections.abc import Callable
from typing import cast

from banger.cli.client import Client, remote_error
from banger.cli.decode import decode
from banger.model.errors import DaemonError
from banger.model.progress import Event
from banger.model.views import OperationView

OnEvent = Callable[[Event], None]


def forget_events(_event: Event) -> None:
    """Show nobody how it goes."""


def operate(client: Client, method: str, path: str, body: object, on_event: OnEvent) -> object:
    """Begin an operation, follow it to its end and return its result. Raises its error."""
    operation = decode(OperationView, client.request(method, path, body))
    for raw in client.stream(f"/v1/operations/{operation.id}/events"):
        event = cast("Event", raw)
        if event["event"] == "result":
            return event["value"]
        if event["event"] == "error":
            raise remote_error(event["code"], event["message"], event["hint"])
        on_event(event)
    raise DaemonError(f"{operation.what}: the daemon stopped telling how it goes", hint="banger daemon status")
