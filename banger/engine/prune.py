"""Collect the cache: when it is asked for, and by itself before something is made on a disk that is nearly full."""

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import anyio.to_thread

from banger.engine.observe import Emit
from banger.engine.stage import stage
from banger.model.cache import EvictionView, PruneRequest, PruneView
from banger.model.digest import Digest
from banger.model.errors import BangerError, ConflictError, SpecError
from banger.store.collect import Eviction, Policy, Survey, choose, perform, survey
from banger.store.lock import without_guests
from banger.store.state import State

_GIB = 1024**3
_DAY_S = 86400.0
UNUSED_S = 30 * _DAY_S
"""Of `prune` without options: what nobody has used for so long goes."""
BUDGET_BYTES = 32 * _GIB
"""Of `prune` without options: then go on until the cache takes no more than that."""
GRACE_S = 3600.0
"""A collection that nobody asked for spares what was of use so lately: it would only be made again."""

FreeBytes = Callable[[], int]


@dataclass(frozen=True, slots=True)
class LowDisk:
    """When to collect by itself: below `low_bytes` free, until `enough_bytes` are."""

    low_bytes: int = 3 * _GIB
    enough_bytes: int = 6 * _GIB


async def prune(state: State, request: PruneRequest, emit: Emit) -> PruneView:
    """Remove what the request means and nothing keeps, or say what would go. Operations may run meanwhile."""
    policies = policies_for(request)
    _record(state)
    with stage(state.clock, emit, "cache.prune") as one:
        return await anyio.to_thread.run_sync(_prune, state, policies, request, one.told)


def policies_for(request: PruneRequest) -> list[Policy]:
    """The passes that a request means, one after the other. Raises SpecError for one that contradicts itself."""
    limits = (request.max_bytes, request.older_than_s)
    if request.everything:
        if limits != (None, None):
            raise SpecError("everything can have no age and no size", hint="banger cache prune --all")
        return [Policy()]
    if limits != (None, None):
        return [Policy(request.max_bytes, request.older_than_s)]
    return [Policy(older_than_s=UNUSED_S), Policy(max_bytes=BUDGET_BYTES)]


async def make_room(
    state: State, emit: Emit, *, low: LowDisk | None = None, free_bytes: FreeBytes | None = None, force: bool = False
) -> PruneView | None:
    """Before something is made: if the disk is nearly full, collect what it takes.

    None if there was no need, or if another process makes artifacts here. `force`: a write has just failed for want of
    space, whatever the file system says is free.
    """
    low = low or LowDisk()
    free = (free_bytes or (lambda: shutil.disk_usage(state.root).free))()
    if free >= low.low_bytes and not force:
        return None
    wanted = max(low.enough_bytes - free, low.enough_bytes - low.low_bytes)
    _record(state)
    view = await anyio.to_thread.run_sync(_free, state, wanted)
    if view is not None and view.removed:
        emit(_notice(state, f"the disk is nearly full: removed {view.removed} cached artifacts that no VM uses"))
    return view


def _free(state: State, wanted_bytes: int) -> PruneView | None:
    with _alone(state) as alone, state.cas.uses.operation() as since:
        if not alone:
            return None
        found = survey(state)
        chosen = choose(
            found, Policy(max(0, found.total_bytes - wanted_bytes), older_than_s=GRACE_S), state.clock.wall()
        )
        return _view(found, perform(state, chosen, since=since), dry_run=False)


def _prune(state: State, policies: list[Policy], request: PruneRequest, told: Callable[[int, int], None]) -> PruneView:
    # What is touched from now on stays, so the survey cannot be outdated.
    with _alone(state) as alone, state.cas.uses.operation() as since:
        if not alone and not request.dry_run:
            raise ConflictError(
                f"another process makes artifacts in {state.root}, and what it uses is not known here",
                hint="try again when it has ended; --dry-run works meanwhile",
            )
        found = survey(state)
        chosen = choose_all(found, policies, state.clock.wall())
        gone = chosen if request.dry_run else perform(state, chosen, since=since, told=told)
        return _view(found, gone, dry_run=request.dry_run)


def remove_only(state: State, artifacts: Collection[Digest]) -> int:
    """Remove those of these artifacts that nothing keeps, and what remembers them; returns the bytes that came free.

    Those that an operation uses now stay, and so do all of them while another process makes artifacts here.
    """
    with _alone(state) as alone, state.cas.uses.operation() as since:
        if not alone:
            return 0
        found = survey(state)
        own = tuple(unit for unit in found.units if unit.artifacts and set(unit.artifacts) <= set(artifacts))
        chosen = choose(Survey(own, found.disk_bytes, found.owners), Policy(), state.clock.wall())
        return sum(one.disk_bytes for one in perform(state, chosen, since=since))


@contextmanager
def _alone(state: State) -> Iterator[bool]:
    """Whether what is in use is known: guests have their uses to themselves. New ones wait until the block ends."""
    with state.cas.uses.collecting, without_guests(state.root) as alone:
        yield alone


def _record(state: State) -> None:
    """Put on record what is made, since what nothing leads to goes first."""
    with suppress(BangerError):  # a full disk is a reason to collect
        state.recorder.flush()


def choose_all(found: Survey, policies: list[Policy], now: float) -> list[Eviction]:
    """The evictions of several policies in turn, each seeing what the one before leaves."""
    chosen: list[Eviction] = []
    for policy in policies:
        units = {one.unit.key for one in chosen}
        gone = {digest for one in chosen for digest in one.frees}
        rest = Survey(
            tuple(unit for unit in found.units if unit.key not in units),
            {digest: size for digest, size in found.disk_bytes.items() if digest not in gone},
            found.owners,
        )
        chosen.extend(choose(rest, policy, now))
    return chosen


def _view(found: Survey, gone: list[Eviction], *, dry_run: bool) -> PruneView:
    freed = sum(one.disk_bytes for one in gone)
    return PruneView(
        removed=sum(len(one.frees) for one in gone),
        freed_bytes=freed,
        dry_run=dry_run,
        kept_bytes=found.total_bytes - freed,
        held_bytes=sum(size for digest, size in found.disk_bytes.items() if digest in found.owners),
        again_s=sum(one.again_s or 0.0 for one in gone),
        evictions=[_eviction_view(one) for one in gone],
    )


def _eviction_view(one: Eviction) -> EvictionView:
    record = one.unit.record
    return EvictionView(
        kind=record.kind if record else "unknown",
        label=record.label if record else one.unit.artifacts[0],
        artifacts=len(one.frees),
        disk_bytes=one.disk_bytes,
        last_used_at=record.used_at if record else None,
        again_s=one.again_s,
    )


def _notice(state: State, text: str) -> dict[str, object]:
    return {"event": "notice", "at": state.clock.monotonic(), "text": text}
