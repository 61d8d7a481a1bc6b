"""What the cache holds, what a collection removes, what a verification finds: asked for, and answered, as plain data.

Standard-library dataclasses, for the reason that banger.model.views gives. Times are seconds since the epoch, or
durations in seconds; `size_bytes` is the length of an artifact, `disk_bytes` what it takes on the device without holes.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class CacheFilter:
    """Which artifacts are meant: those for which all that is given holds. `owner`: a VM's name, `pin` or `none`."""

    kind: str | None = None
    older_than_s: float | None = None
    larger_than_bytes: int | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class CacheEntryView:
    """One artifact. `owners`: what keeps it; with none, a collection may take it. `seconds`: what making it took."""

    digest: str
    kind: str
    size_bytes: int
    label: str
    created_at: float
    last_used_at: float
    disk_bytes: int = 0
    seconds: float | None = None
    owners: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KindUsageView:
    """Artifacts of one kind, together. `reclaimable_bytes`: what nothing keeps."""

    kind: str
    count: int
    size_bytes: int
    disk_bytes: int
    reclaimable_bytes: int


@dataclass(frozen=True, slots=True)
class CacheUsageView:
    """What the cache takes. `quarantine_bytes`: damaged things that were put aside, and stay until they are deleted."""

    kinds: list[KindUsageView]
    disk_bytes: int
    reclaimable_bytes: int
    quarantine_count: int
    quarantine_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """What is to go. Without anything: what is long unused, then what is over the budget (docs/store.md)."""

    older_than_s: float | None = None
    max_bytes: int | None = None
    everything: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class EvictionView:
    """One thing that goes. `again_s`: what it takes to make it when it is next needed, None if nothing makes it."""

    kind: str
    label: str
    artifacts: int
    disk_bytes: int
    last_used_at: float | None
    again_s: float | None


@dataclass(frozen=True, slots=True)
class PruneView:
    """What went, or would go. `freed_bytes` is on the device; `kept_bytes` is what remains, `held_bytes` what must."""

    removed: int
    freed_bytes: int
    dry_run: bool = False
    kept_bytes: int = 0
    held_bytes: int = 0
    again_s: float = 0.0
    evictions: list[EvictionView] = field(default_factory=list)


ProblemKind: TypeAlias = Literal["database", "damaged", "foreign", "mode", "record", "lease", "unreadable", "vanished"]


@dataclass(frozen=True, slots=True)
class ProblemView:
    """One thing that is not as it should be, and whether it has been put right."""

    kind: ProblemKind
    subject: str
    detail: str
    repaired: bool


@dataclass(frozen=True, slots=True)
class VerifyView:
    """What a verification saw and found."""

    objects: int
    bytes_read: int
    records: int
    seconds: float
    problems: list[ProblemView] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0: all is well; 1: it was not, and everything has been repaired; 2: something has not."""
        if not self.problems:
            return 0
        return 1 if all(problem.repaired for problem in self.problems) else 2
