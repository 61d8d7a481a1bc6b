"""What the daemon shows besides VMs: plans, checks, timings, itself. Plain data, JSON on the wire.

Standard-library dataclasses, like banger.model.vm: the command line reads them and must start before anyone notices.
Times are seconds; points in time are seconds since the epoch.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

CacheState: TypeAlias = Literal[
    "hit",  # the artifact is in the CAS
    "miss",  # it would be made
    "unknown",  # the key rests on something that is not known before the run
    "effect",  # live state of the host: made, and undone, every time
    "gate",  # a wait
]


@dataclass(frozen=True, slots=True)
class PlanNodeView:
    """One node of a plan. `last_s`: its last run; `expected_s`: what the scheduler reckons with."""

    id: str
    kind: str
    flavour: str
    label: str
    cache: CacheState
    digest: str | None = None
    last_s: float | None = None
    expected_s: float | None = None
    on_critical_path: bool = False
    depends_on: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlanView:
    """What an operation would do. `predicted_s` is None while a node on the critical path has never been timed."""

    nodes: list[PlanNodeView]
    predicted_s: float | None = None


@dataclass(frozen=True, slots=True)
class CheckView:
    """One answer of `banger doctor`."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class BenchRow:
    """How long one stage took in real creates. Cold: the run had cache misses; warm: it had none."""

    stage: str
    runs: int
    cold_median_s: float | None = None
    cold_p90_s: float | None = None
    warm_median_s: float | None = None
    warm_p90_s: float | None = None


@dataclass(frozen=True, slots=True)
class DaemonView:
    """The daemon about itself. `operations` and `sessions` are those under way now."""

    pid: int
    version: str
    started_at: float
    state_dir: str
    operations: int
    sessions: int


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation that the daemon has taken on; its events are at /v1/operations/{id}/events."""

    id: str
    what: str


@dataclass(frozen=True, slots=True)
class ShutdownView:
    """Whether the daemon goes away, and if not, what it is busy with."""

    stopping: bool
    reason: str | None = None
