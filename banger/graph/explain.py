"""Why a node ran: two runs' action documents side by side, followed from the node down to where the change began.

A document is compared in full, by the same four parts of which the action digest is made; so there is a difference
exactly where there are two digests (a property test holds both to it).
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from banger.model.digest import Canonical
from banger.model.story import Recorded

Story = Mapping[str, Recorded]
"""A run's nodes, by id."""

DOCUMENT = ("kind", "version", "params", "inputs")
MOST_CHANGES = 40
"""Differences of one node that are told; a lock of packages can have hundreds."""
_ABSENT = object()


class Difference(msgspec.Struct, frozen=True):
    """One place where two values differ. `path` is like `params.sizes.vcpus`; `before` or `after` None: not there."""

    path: str
    before: str | None
    after: str | None


class Step(msgspec.Struct, frozen=True):
    """A node that differs. `reason` as banger.model.history has them; `leaf`: nothing below it explains it."""

    node: str
    reason: str
    differences: tuple[Difference, ...]
    leaf: bool


class Explanation(msgspec.Struct, frozen=True):
    """`reason` None: the node did not have to run. `steps` begin with the node itself, what changed comes last."""

    reason: str | None
    steps: tuple[Step, ...]
    stale: tuple[str, ...]
    unmoved: tuple[str, ...]


def explain(node: str, before: Story, after: Story) -> Explanation:
    """Say why `node` ran in the run `after`. Raises KeyError if that run has no such node."""
    steps: dict[str, Step] = {}
    queue = deque((node,))
    while queue:
        name = queue.popleft()
        if name in steps or name not in after:
            continue
        steps[name], below = _step(name, before.get(name), after[name], after)
        queue.extend(below)
    changed = [step.node for step in steps.values() if step.leaf and _moved(before.get(step.node), after[step.node])]
    stale, unmoved = _standing_on(changed, before, after)
    return Explanation(_reason(before.get(node), after[node]), tuple(steps.values()), stale, unmoved)


def reason_of(node: str, before: Story, after: Story) -> str | None:
    """The reason alone."""
    return _reason(before.get(node), after[node])


def differences(before: Canonical, after: Canonical) -> list[Difference]:
    """Every place where two values differ, in the order in which they are hashed."""
    return list(_walk(before, after, ""))


def document_differences(before: Mapping[str, Canonical], after: Mapping[str, Canonical]) -> list[Difference]:
    """The same for two action documents."""
    return [one for part in DOCUMENT for one in _walk(before[part], after[part], part)]


def _reason(before: Recorded | None, after: Recorded) -> str | None:
    flavour = after.told.flavour
    if flavour in {"effect", "gate", "release"}:
        return "effect"
    if after.cache == "hit":
        return None
    if before is None:
        return "new"
    if before.outcome != "done":
        return "previous-failed"
    changes = _document_changes(before, after)
    if changes or after.told.forced:
        return _name(changes[0]) if changes else "forced"
    return "ttl" if flavour == "query" else "evicted"


def _name(change: Difference) -> str:
    part, _, rest = change.path.partition(".")
    return {"kind": "new", "inputs": f"input:{rest}"}.get(part, part)


def _step(name: str, before: Recorded | None, after: Recorded, story: Story) -> tuple[Step, list[str]]:
    """What differs about one node, and the nodes below that explain it."""
    changes = [] if before is None else _document_changes(before, after)
    reason = _reason(before, after) or (_name(changes[0]) if changes else "")
    changed = {one.path for one in changes}
    below = [source for field, source in after.told.inputs.items() if f"inputs.{field}" in changed and source in story]
    if before is not None and not changes and before.told.output != after.told.output:
        # The same question, and another answer.
        changes = [
            msgspec.structs.replace(one, path=f"value{_dotted(one.path)}")
            for one in differences(before.value, after.value)
        ]
    return Step(name, reason or "ttl", tuple(changes[:MOST_CHANGES]), leaf=not below), below


def _document_changes(before: Recorded, after: Recorded) -> list[Difference]:
    if before.document is None or after.document is None or before.told.digest == after.told.digest:
        return []
    return document_differences(before.document, after.document)


def _dotted(path: str) -> str:
    return path if not path or path.startswith("[") else f".{path}"


def _moved(before: Recorded | None, after: Recorded) -> bool:
    """Whether a node put out something else than before, or was not there before."""
    return before is None or before.told.output != after.told.output or before.told.digest != after.told.digest


def _standing_on(leaves: Sequence[str], before: Story, after: Story) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands on any of the leaves: what had to run, and what was remembered though something below it moved."""
    touched = set(leaves)
    stale: list[str] = []
    unmoved: list[str] = []
    for name, one in after.items():  # in topological order
        if name in leaves:
            continue
        below = touched.intersection(one.told.inputs.values())
        if not below:
            continue
        earlier = before.get(name)
        if one.cache == "hit" or (earlier is not None and not _moved(earlier, one)):
            unmoved.append(name)
        else:
            touched.add(name)
            if one.told.digest is not None:
                stale.append(name)
    return tuple(stale), tuple(unmoved)


def _walk(before: object, after: object, path: str) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            inner = f"{path}.{key}" if path else str(key)
            yield from _walk(before.get(key, _ABSENT), after.get(key, _ABSENT), inner)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        yield from _walk_lists(before, after, path)
    elif type(before) is not type(after) or before != after:
        yield Difference(path, _text(before), _text(after))


def _walk_lists(before: Sequence[object], after: Sequence[object], path: str) -> Iterator[Difference]:
    """Items that have a name are the same item wherever they stand; their order is told apart."""
    old, new = _by_name(before), _by_name(after)
    if old is not None and new is not None:
        keys = list(dict.fromkeys((*old, *new)))
        for key in keys:
            yield from _walk(old.get(key, _ABSENT), new.get(key, _ABSENT), f"{path}[{key}]")
        if set(old) == set(new) and list(old) != list(new):
            yield Difference(path, ", ".join(old), ", ".join(new))
        return
    for index in range(max(len(before), len(after))):
        one = before[index] if index < len(before) else _ABSENT
        other = after[index] if index < len(after) else _ABSENT
        yield from _walk(one, other, f"{path}[{index}]")


def _by_name(items: Sequence[object]) -> dict[str, object] | None:
    named: dict[str, object] = {}
    for item in items:
        name = item.get("name") if isinstance(item, Mapping) else None
        if type(name) is not str or name in named:
            return None
        named[name] = item
    return named


def _text(value: object) -> str | None:
    if value is _ABSENT:
        return None
    return value if type(value) is str else msgspec.json.encode(value, order="deterministic").decode()
