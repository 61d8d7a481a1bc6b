"""Collection: what nothing keeps goes, the cheapest to make again first, and never from under a running operation.

Choosing is pure. Removing has two phases: rows and names go together under a lock that no look-up passes, which takes
no time; the bytes go afterwards, outside it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from banger.model.digest import Digest
from banger.model.errors import MissingError
from banger.store.actions import Record
from banger.store.roots import Owners, mark, remembered
from banger.store.state import State

_DAY_S = 86400.0
_BATCH = 64
_BLOCK_BYTES = 512  # the unit of st_blocks, stat(2)


@dataclass(frozen=True, slots=True)
class Policy:
    """What may go and how much of it. No budget and no age: everything that nothing keeps.

    `max_bytes`: go on until the CAS takes no more than that. `older_than_s`: only what was last used before.
    """

    max_bytes: int | None = None
    older_than_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """What goes together: a remembered action with its artifacts, or one artifact that no action remembers."""

    record: Record | None
    artifacts: tuple[Digest, ...]

    @property
    def key(self) -> Digest:
        """What tells it from every other unit."""
        return self.record.digest if self.record else self.artifacts[0]


@dataclass(frozen=True, slots=True)
class Eviction:
    """A unit that goes. `frees`: the artifacts that no other action needs, and what they take on the device."""

    unit: Unit
    frees: tuple[Digest, ...]
    disk_bytes: int

    @property
    def again_s(self) -> float | None:
        """What it takes to make it again; None if nothing would."""
        return self.unit.record.seconds if self.unit.record else None


@dataclass(frozen=True, slots=True)
class Survey:
    """The CAS as collection sees it."""

    units: tuple[Unit, ...]
    disk_bytes: Mapping[Digest, int]
    owners: Owners

    @property
    def total_bytes(self) -> int:
        """What all objects take on the device."""
        return sum(self.disk_bytes.values())


def survey(state: State) -> Survey:
    """Look at every object and every record."""
    sizes: dict[Digest, int] = {}
    for digest in state.cas.all():
        try:
            sizes[digest] = state.cas.status(digest).st_blocks * _BLOCK_BYTES
        except MissingError:
            continue
    records = remembered(state)
    named = {artifact for record in records for artifact in record.output.artifacts}
    orphans = [Unit(None, (digest,)) for digest in sizes if digest not in named]
    units = [Unit(record, record.output.artifacts) for record in records]
    return Survey((*orphans, *units), sizes, mark(state))


def choose(found: Survey, policy: Policy, now: float) -> list[Eviction]:
    """Decide what goes, in order. What nothing remembers always does: it can never be used again."""
    references = Counter(artifact for unit in found.units for artifact in set(unit.artifacts))
    loose = [unit for unit in found.units if not any(artifact in found.owners for artifact in unit.artifacts)]
    lost = [unit for unit in loose if unit.record is None]
    known = [unit for unit in loose if unit.record is not None and _is_old(unit.record, policy, now)]
    known.sort(key=lambda unit: _worth(unit, found, references, now))
    left = found.total_bytes
    evictions = []
    for unit in (*lost, *known):
        over = policy.max_bytes is None or left > policy.max_bytes
        if unit.record is not None and (not over or (policy.max_bytes is not None and not unit.artifacts)):
            continue
        references.subtract(set(unit.artifacts))
        frees = tuple(one for one in dict.fromkeys(unit.artifacts) if not references[one] and one in found.disk_bytes)
        freed = sum(found.disk_bytes[one] for one in frees)
        left -= freed
        evictions.append(Eviction(unit, frees, freed))
    return evictions


def perform(
    state: State, evictions: Iterable[Eviction], *, since: int, told: Callable[[int, int], None] = lambda _c, _b: None
) -> list[Eviction]:
    """Remove what was chosen, except what an operation has touched since that tick; returns what did go.

    `told` takes the number of artifacts and bytes so far.
    """
    gone: list[Eviction] = []
    spared: set[Digest] = set()
    for batch in _batches(list(evictions)):
        with state.cas.uses.turn:
            free = [*_not_in_use(state, batch, since, spared)]
            with state.database.transaction("evict"):
                state.actions.forget(*(one.unit.record.digest for one in free if one.unit.record))
                state.cas.stamps.drop(*(digest for one in free for digest in one.frees))
            trash = [path for one in free for digest in one.frees if (path := state.cas.set_aside(digest))]
        for path in trash:
            state.cas.discard(path)
        gone.extend(free)
        told(sum(len(one.frees) for one in gone), sum(one.disk_bytes for one in gone))
    return gone


def _not_in_use(state: State, batch: list[Eviction], since: int, spared: set[Digest]) -> Iterator[Eviction]:
    """What may go now. Artifacts of what may not are added to `spared`: they must not go with another unit either."""
    for one in batch:
        if any(state.cas.uses.in_use(digest, since) for digest in one.unit.artifacts):
            spared.update(one.unit.artifacts)
        else:
            yield replace(one, frees=tuple(digest for digest in one.frees if digest not in spared))


def _is_old(record: Record, policy: Policy, now: float) -> bool:
    return policy.older_than_s is None or now - record.used_at > policy.older_than_s


def _worth(unit: Unit, found: Survey, references: Mapping[Digest, int], now: float) -> tuple[float, str]:
    """Seconds of work that a byte saves, less with each day unused: what is worth least goes first."""
    assert unit.record is not None
    share = sum(found.disk_bytes.get(one, 0) / references[one] for one in set(unit.artifacts))
    unused_days = max(0.0, now - unit.record.used_at) / _DAY_S
    return unit.record.seconds / max(share, 1.0) / (1.0 + unused_days), unit.record.digest


def _batches(evictions: list[Eviction]) -> Iterator[list[Eviction]]:
    for start in range(0, len(evictions), _BATCH):
        yield evictions[start : start + _BATCH]
