"""The cache as users see it: what is in it, who keeps what, how much it takes, and whether it is sound."""

import shutil
from collections.abc import Iterable
from contextlib import suppress

import anyio.to_thread

from banger.engine.observe import Emit
from banger.engine.stage import stage
from banger.model.cache import CacheEntryView, CacheFilter, CacheUsageView, KindUsageView, VerifyView
from banger.model.digest import Digest
from banger.model.errors import BangerError, MissingError, NotFoundError, SpecError
from banger.store.actions import Record
from banger.store.collect import survey
from banger.store.roots import mark, remembered
from banger.store.state import State
from banger.store.verify import Verification

_BLOCK_BYTES = 512
NO_OWNER = "none"


def entries(state: State, wanted: CacheFilter | None = None) -> list[CacheEntryView]:
    """Artifacts in the CAS, last used first."""
    owners = mark(state)
    by_artifact: dict[Digest, Record] = {}
    for record in remembered(state):
        for artifact in record.output.artifacts:
            present = by_artifact.get(artifact)
            if present is None or present.used_at <= record.used_at:
                by_artifact[artifact] = record
    found = []
    for digest in state.cas.all():
        try:
            found.append(_entry(state, digest, by_artifact.get(digest), owners.get(digest, [])))
        except MissingError:
            continue
    now = state.clock.wall()
    kept = [entry for entry in found if wanted is None or matches(entry, wanted, now)]
    return sorted(kept, key=lambda entry: (-entry.last_used_at, entry.digest))


def _entry(state: State, digest: Digest, record: Record | None, owners: list[str]) -> CacheEntryView:
    status = state.cas.status(digest)
    return CacheEntryView(
        digest=digest,
        kind=record.kind if record else "unknown",
        size_bytes=status.st_size,
        label=record.label if record else "",
        created_at=record.made_at if record else status.st_mtime,
        last_used_at=record.used_at if record else status.st_mtime,
        disk_bytes=status.st_blocks * _BLOCK_BYTES,
        seconds=record.seconds if record else None,
        owners=list(owners),
    )


def matches(entry: CacheEntryView, wanted: CacheFilter, now: float) -> bool:
    """Whether an artifact is meant. A kind may end in a dot and an asterisk: `image.*`."""
    kind = wanted.kind or "*"
    of_kind = entry.kind.startswith(kind[:-1]) if kind.endswith("*") else entry.kind == kind
    owned = wanted.owner is None or wanted.owner in (entry.owners or [NO_OWNER])
    return (
        of_kind
        and owned
        and (wanted.older_than_s is None or now - entry.last_used_at > wanted.older_than_s)
        and (wanted.larger_than_bytes is None or entry.size_bytes > wanted.larger_than_bytes)
    )


def find(state: State, prefix: str) -> CacheEntryView:
    """One artifact by the beginning of its digest. Raises NotFoundError, SpecError if several begin so."""
    return _only([entry for entry in entries(state) if _begins(entry.digest, prefix)], prefix)


def pin(state: State, prefix: str, note: str) -> CacheEntryView:
    """Keep an artifact, and what was made together with it, until it is unpinned."""
    digest = Digest(find(state, prefix).digest)
    state.cas.uses.touch(digest)  # a collection that is under way has not seen the pin
    state.pins.add(digest, note)
    return find(state, digest)


def unpin(state: State, prefix: str) -> CacheEntryView | None:
    """Let go of a pin; None if its artifact is gone. Raises NotFoundError if nothing that begins so is pinned."""
    pinned = [one.digest for one in state.pins.all() if _begins(one.digest, prefix)]
    if not pinned:
        raise NotFoundError(
            f"no pinned artifact's digest begins with {prefix[:80]!r}", hint="banger cache ls --owner pin"
        )
    if len(pinned) > 1:
        raise SpecError(f"{len(pinned)} pins begin with {prefix[:80]!r}: write more of it", hint="banger cache ls")
    state.pins.remove(pinned[0])
    left = [entry for entry in entries(state) if entry.digest == pinned[0]]
    return left[0] if left else None


def usage(state: State) -> CacheUsageView:
    """What the cache takes, by kind, the biggest first."""
    by_kind: dict[str, list[CacheEntryView]] = {}
    for entry in entries(state):
        by_kind.setdefault(entry.kind, []).append(entry)
    kinds = [_kind_usage(kind, members) for kind, members in by_kind.items()]
    aside = [path.lstat() for path in state.cas.bad.iterdir()]
    return CacheUsageView(
        kinds=sorted(kinds, key=lambda one: (-one.disk_bytes, one.kind)),
        disk_bytes=survey(state).total_bytes,
        reclaimable_bytes=sum(one.reclaimable_bytes for one in kinds),
        quarantine_count=len(aside),
        quarantine_bytes=sum(status.st_blocks * _BLOCK_BYTES for status in aside),
        free_bytes=shutil.disk_usage(state.root).free,
    )


def _kind_usage(kind: str, members: Iterable[CacheEntryView]) -> KindUsageView:
    members = list(members)
    return KindUsageView(
        kind=kind,
        count=len(members),
        size_bytes=sum(entry.size_bytes for entry in members),
        disk_bytes=sum(entry.disk_bytes for entry in members),
        reclaimable_bytes=sum(entry.disk_bytes for entry in members if not entry.owners),
    )


async def verify(state: State, emit: Emit, *, repair: bool) -> VerifyView:
    """Read everything. Operations may run meanwhile."""
    begun = state.clock.monotonic()
    with suppress(BangerError):  # if it cannot be written, that is told by whoever made it
        state.recorder.flush()
    with stage(state.clock, emit, "cache.verify") as one:
        walk = Verification(state, repair, one.told)
        await anyio.to_thread.run_sync(walk.run)
    seconds = state.clock.monotonic() - begun
    return VerifyView(walk.objects, walk.bytes_read, walk.records, seconds, walk.problems)


def _begins(digest: str, prefix: str) -> bool:
    return digest.removeprefix("sha256:").startswith(prefix.removeprefix("sha256:"))


def _only(found: list[CacheEntryView], prefix: str) -> CacheEntryView:
    if not found:
        raise NotFoundError(f"no artifact's digest begins with {prefix[:80]!r}", hint="banger cache ls")
    if len(found) > 1:
        raise SpecError(f"{len(found)} artifacts begin with {prefix[:80]!r}: write more of it", hint="banger cache ls")
    return found[0]
