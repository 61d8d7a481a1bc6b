"""What the daemon tells of past runs, and why a node ran. Plain data, JSON on the wire, like banger.model.views.

Times are seconds since the start of the run; points in time are seconds since the epoch.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal[
    "cold",  # something was built
    "warm",  # everything was in the cache; the guest booted
    "restored",  # the guest went on from a template
    "other",  # no VM came up
]

REASONS = {
    "new": "no earlier run has it",
    "params": "a parameter changed",
    "input": "an input changed",
    "version": "the code of this kind changed",
    "evicted": "its result was removed from the cache, or was damaged",
    "ttl": "its answer was too old to be used again",
    "forced": "it was asked to run again",
    "effect": "live state and waits are never cached",
    "previous-failed": "the run before did not get it done",
}
"""Every reason for which a node runs, in words. `input` is told as `input:<name>`."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run, in short. `outcome` is None while it runs."""

    id: str
    what: str
    started_at: float
    mode: Mode
    seconds: float | None = None
    outcome: str | None = None
    vm_id: str | None = None
    cached: int = 0
    ran: int = 0


@dataclass(frozen=True, slots=True)
class ClaimView:
    """What a node holds of a pool while it runs."""

    pool: str
    amount: int


@dataclass(frozen=True, slots=True)
class RunNodeView:
    """One attempt at one node. It waits for its predecessors until `ready_s`, for its pools until `claimed_s`, to be
    started until `started_s`; it runs until `finished_s`, and is recorded at `published_s`.

    `bound_by`: the node whose end it waited for last. `size_bytes`: of the artifacts that it put out.
    """

    id: str
    kind: str
    flavour: str
    label: str
    cache: str
    outcome: str
    attempt: int
    ready_s: float
    claimed_s: float
    started_s: float
    finished_s: float
    published_s: float
    bound_by: str | None = None
    digest: str | None = None
    output: str | None = None
    size_bytes: int | None = None
    network: bool = False
    privileged: bool = False
    claims: list[ClaimView] = field(default_factory=list)
    depends_on: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SpanView:
    """A part of a node, by the guest's own clock put on the run's."""

    node: str
    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as it is now."""

    name: str
    capacity: int


@dataclass(frozen=True, slots=True)
class RunView:
    """One run with all of its nodes, in the order in which they started."""

    run: RunRow
    nodes: list[RunNodeView]
    spans: list[SpanView] = field(default_factory=list)
    pools: list[PoolView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One difference: `what` is a path like `params.size` or `inputs.tar`; None stands for "not there"."""

    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class WhyStepView:
    """One node on the way from the one that was asked about to what changed. `leaf`: the change began here."""

    node: str
    kind: str
    label: str
    reason: str
    changes: list[ChangeView] = field(default_factory=list)
    leaf: bool = False


@dataclass(frozen=True, slots=True)
class WhyView:
    """Why a node ran, or did not have to. `reason` is None for a hit.

    `stale`: what the changes made run again; `unmoved`: what stands on one of those and came out as before.
    """

    node: str
    run: RunRow
    against: RunRow | None
    cache: str
    outcome: str
    reason: str | None
    steps: list[WhyStepView]
    stale: list[str] = field(default_factory=list)
    unmoved: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BenchStage:
    """One stage of runs of one mode. `on_critical_path`: of the middle run."""

    stage: str
    runs: int
    p50_s: float
    p95_s: float
    on_critical_path: bool


@dataclass(frozen=True, slots=True)
class BenchMode:
    """Runs of one mode. `middle_run`: the id of the one whose time is the median, or the next shorter."""

    mode: str
    runs: int
    p50_s: float
    p95_s: float
    middle_run: str
    stages: list[BenchStage]


@dataclass(frozen=True, slots=True)
class BenchView:
    """Creates so far, by mode."""

    modes: list[BenchMode]
