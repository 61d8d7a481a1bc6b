"""Events of a running operation, as the daemon streams them and the command line shows them: one JSON object a line.

Every event has `event` (its type) and `at` (seconds on the daemon's monotonic clock, for differences only).
The last event of an operation is `result` or `error`.
"""

from typing import Literal, NotRequired, TypeAlias, TypedDict

NodeState: TypeAlias = Literal[
    "hit",  # a Build or Query was answered from the cache, an Effect's lease was found alive
    "waiting",  # another run makes the same artifact: waits for it
    "running",
    "retrying",
    "done",
    "failed",
    "skipped",
    "cancelled",
    "released",  # an Effect was undone
]


class PlannedNode(TypedDict):
    """One node as the plan knows it. `expected_s`: median of earlier runs, None where there were none."""

    id: str
    kind: str
    flavour: str
    label: str
    expected_s: float | None


class PlanEvent(TypedDict):
    """First event: the nodes that this operation may run, in display order."""

    event: Literal["plan"]
    at: float
    nodes: list[PlannedNode]


class NodeEvent(TypedDict):
    """A node changed state. `seconds`: how long it ran (done, failed, released)."""

    event: Literal["node"]
    at: float
    id: str
    state: NodeState
    detail: NotRequired[str]
    seconds: NotRequired[float]


class ProgressEvent(TypedDict):
    """How far a running node is; `total` None if not known. `unit` is "bytes" or "items"."""

    event: Literal["progress"]
    at: float
    id: str
    done: int
    total: int | None
    unit: Literal["bytes", "items"]
    text: NotRequired[str]


class NoticeEvent(TypedDict):
    """One line for the user."""

    event: Literal["notice"]
    at: float
    text: str


class SummaryEvent(TypedDict):
    """Shown at the end as "14 cached, 3 ran, 0.9 s"."""

    event: Literal["summary"]
    at: float
    run_id: str
    cached: int
    ran: int
    seconds: float


class ResultEvent(TypedDict):
    """Last event of an operation that succeeded; `value` is its result as JSON."""

    event: Literal["result"]
    at: float
    value: object


class ErrorEvent(TypedDict):
    """Last event of an operation that failed: a BangerError by code, and every further error that was collected."""

    event: Literal["error"]
    at: float
    code: str
    message: str
    hint: str | None
    others: list[str]


Event: TypeAlias = PlanEvent | NodeEvent | ProgressEvent | NoticeEvent | SummaryEvent | ResultEvent | ErrorEvent
