"""What must not be collected, and why: the roots of the CAS."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from banger.model.action import Output
from banger.model.digest import Digest
from banger.model.errors import StoreError
from banger.store.actions import Record
from banger.store.kernels import roots_of
from banger.store.state import State

Owners = dict[Digest, list[str]]
"""Artifacts that are kept, each with those that keep it, in order."""

ANSWER = "answer"
"""The kind under which the artifact of a query's answer is shown."""

RootSource = Callable[[State], Iterator[tuple[str, Digest]]]
"""Gives (owner, artifact); the artifacts that a listing names are added by `mark`."""


def vm_roots(state: State) -> Iterator[tuple[str, Digest]]:
    """What leases speak of: the image under an overlay must outlive the overlay."""
    names = {record.id: record.name for record in state.vms.all()}
    for lease in state.journal.all():
        owner = names.get(lease.vm_id or "", lease.vm_id or "host")
        for one in lease.inputs.values():
            for digest in digests_in(state, one.value):
                yield owner, digest


def pin_roots(state: State) -> Iterator[tuple[str, Digest]]:
    """What the user pinned."""
    for pin in state.pins.all():
        yield "pin", pin.digest


def kernel_roots(state: State) -> Iterator[tuple[str, Digest]]:
    """What the user has pulled or imported by name."""
    for record in state.kernels.all():
        for digest in roots_of(record):
            yield f"kernel {record.name}", digest


def image_roots(state: State) -> Iterator[tuple[str, Digest]]:
    """The disks of images that have a name, and what they consist of. Not their layers: the disks do without."""
    for record in state.images.all():
        if record.disks is not None:
            yield f"image {record.name}", record.disks.rootfs.digest
            yield f"image {record.name}", record.disks.seed.digest
        if record.pulled is not None:
            yield f"image {record.name}", record.pulled.config.digest


ROOT_SOURCES: tuple[RootSource, ...] = (vm_roots, pin_roots, kernel_roots, image_roots)
"""Whoever keeps artifacts by name (images, templates) adds a source."""


def mark(state: State, sources: tuple[RootSource, ...] = ROOT_SOURCES) -> Owners:
    """Every artifact that is kept. A remembered action is kept whole if one of its artifacts is."""
    owners: Owners = {}
    for source in sources:
        for owner, digest in source(state):
            _add(owners, digest, owner)
    for record in remembered(state):
        reasons = dict.fromkeys(owner for artifact in record.output.artifacts for owner in owners.get(artifact, ()))
        for artifact in record.output.artifacts:
            for owner in reasons:
                _add(owners, artifact, owner)
    return owners


def remembered(state: State) -> list[Record]:
    """What can lead to an artifact: every record, and as records the answers of queries that speak of artifacts."""
    records = state.actions.all()
    for digest, at, value in state.answers.all():
        artifacts = tuple(sorted({one for one in digests_in(state, value) if state.cas.is_there(one)}))
        if artifacts:
            output = Output(None, artifacts)
            records.append(Record(digest, ANSWER, "", output, made_at=at, used_at=at, seconds=0.0))
    return records


def digests_in(state: State, value: object) -> Iterator[Digest]:
    """Every artifact that a value speaks of, also through the listing of a tree."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, Mapping):
            stack.extend(one.values())
            listing = one.get("listing")
            if isinstance(listing, Mapping) and isinstance(listing.get("digest"), str):
                stack.extend(_listed(state, Digest(listing["digest"])))
        elif isinstance(one, list | tuple):
            stack.extend(one)
        elif isinstance(one, str) and one.startswith("sha256:"):
            yield Digest(one)


def _listed(state: State, listing: Digest) -> list[str]:
    try:
        files = msgspec.json.decode(state.cas.read(listing), type=dict[str, tuple[str, int]])
    except (StoreError, msgspec.MsgspecError):
        return []
    return [digest for digest, _ in files.values()]


def _add(owners: Owners, digest: Digest, owner: str) -> None:
    reasons = owners.setdefault(digest, [])
    if owner not in reasons:
        reasons.append(owner)
