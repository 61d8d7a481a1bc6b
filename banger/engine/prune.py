"""Remove what nothing needs from the cache. What VMs stand on stays, whatever is asked."""

from banger.model.digest import Digest
from banger.model.errors import ConflictError
from banger.model.views import PruneView
from banger.store.state import State


def prune(state: State, *, older_than_s: float | None, in_use: bool) -> PruneView:
    """Forget actions that were last used before that many seconds (None: all), and the artifacts that this frees.

    Raises ConflictError while an operation runs: it may be about to use what nobody seems to need.
    """
    if in_use:
        raise ConflictError("an operation is running; the cache cannot be pruned now", hint="banger vm list")
    now = state.clock.wall()
    for record in state.actions.all():
        if older_than_s is None or now - record.used_at > older_than_s:
            state.actions.forget(record.digest)
    kept = held_by_vms(state)
    for record in state.actions.all():
        kept.update(record.output.artifacts)
    removed = freed = 0
    for digest in state.cas.all():
        if digest not in kept:
            freed += state.cas.size(digest)
            removed += 1
            state.cas.remove(digest)
    return PruneView(removed=removed, freed_bytes=freed)


def held_by_vms(state: State) -> set[Digest]:
    """Every artifact that a lease's inputs speak of: the image under an overlay must outlive the overlay."""
    found: set[Digest] = set()
    stack: list[object] = [one.value for lease in state.journal.all() for one in lease.inputs.values()]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, str) and value.startswith("sha256:"):
            found.add(Digest(value))
    return found
