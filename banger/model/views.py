"""What the daemon shows besides VMs: plans, checks, timings, itself. Plain data, JSON on the wire.

Standard-library dataclasses, like banger.model.vm: the command line reads them and must start before anyone notices.
Times are seconds; points in time are seconds since the epoch.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from banger.model.vm import Sizes

CacheState: TypeAlias = Literal[
    "hit",  # the artifact is in the CAS
    "miss",  # it would be made
    "unknown",  # the key rests on something that is not known before the run
    "effect",  # live state of the host: made, and undone, every time
    "gate",  # a wait
]


@dataclass(frozen=True, slots=True)
class PlanNodeView:
    """One node of a plan. `last_s`: its last run; `expected_s`: what the scheduler reckons with.

    `reason`: why it would run, as in banger.model.history.REASONS. `starts_s`: when, after the start of the run, as far
    as is known. `size_bytes`: of what it puts out, now or the last time; of a node that uses the network, what it
    fetches. `pools`: what it waits for.
    """

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
    reason: str | None = None
    starts_s: float | None = None
    size_bytes: int | None = None
    pools: list[str] = field(default_factory=list)
    network: bool = False
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class PlanView:
    """What an operation would do. `predicted_s`, with the pools of this host, is None while a node that would run has
    never been timed; `serial_s` is what the nodes would take one after another.

    `network_bytes`: what would be fetched, by the sizes of the last time; `network_unknown`: nodes whose share is not
    known.
    """

    nodes: list[PlanNodeView]
    predicted_s: float | None = None
    serial_s: float = 0.0
    network_bytes: int = 0
    network_unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CheckView:
    """One answer of `banger doctor`."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateView:
    """A frozen VM. `size_bytes`: what it takes on the disk; `current`: the next VM of its shape would start from it."""

    digest: str
    image: str
    vcpus: int
    memory_mib: int
    size_bytes: int
    created_at: float
    last_used_at: float
    current: bool
    setup: str = ""
    """What has prepared its disk: a command and its files; "": nothing."""


@dataclass(frozen=True, slots=True)
class PoolView:
    """VMs of a kind that wait for whoever asks for one: how many are ready, and how many are wanted."""

    image: str
    sizes: Sizes
    count: int
    ready: int


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
