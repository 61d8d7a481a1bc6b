"""The plain data that a graph is made of: actions, nodes, outputs. The scheduler sees these and nothing else."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum

import msgspec
from msgspec.structs import force_setattr

from banger.model.digest import Canonical, Digest, digest_of, digest_of_action, digest_of_value

MEMORY = "memory_mib"
"""The pool of the host's memory, in MiB: what a VM is given, for as long as it is being started."""


class Flavour(StrEnum):
    """How a node is run, remembered and undone (docs/architecture.md, "Four kinds of node")."""

    BUILD = "build"  # deterministic; its output is in the action cache and the CAS
    EFFECT = "effect"  # live state; holds a lease, and a release node undoes it
    QUERY = "query"  # reads the changing world; its answer is remembered for a stated time
    GATE = "gate"  # observes until something is true; never remembered, nothing to undo
    RELEASE = "release"  # undoes one effect; runs whatever else has failed


class Scope(IntEnum):
    """Who holds an effect's lease once its run has succeeded, from the shortest life to the longest."""

    RUN = 0  # released when the run ends
    SESSION = 1  # until the VM stops
    VM = 2  # until the VM is deleted
    HOST = 3  # until nothing uses it


class Needs(msgspec.Struct, frozen=True):
    """What running an action takes. `pools`: amounts of named capacities, claimed together before it starts."""

    pools: tuple[tuple[str, int], ...] = ()
    network: bool = False
    privileged: bool = False

    def to_undo(self) -> "Needs":
        """What the release of such an action takes: giving back must not wait for memory to be free."""
        if all(pool != MEMORY for pool, _ in self.pools):
            return self
        return msgspec.structs.replace(self, pools=tuple(one for one in self.pools if one[0] != MEMORY))


class Action(msgspec.Struct, frozen=True):
    """One unit of work. Only kind, version, params and inputs make its identity; the rest says how to run it."""

    kind: str
    version: int
    flavour: Flavour
    params: Mapping[str, Canonical]
    needs: Needs = Needs()
    scope: Scope = Scope.RUN
    deadline_s: int = 600
    retries: int = 0
    """How often a failure marked transient is tried again."""
    post_mortem: bool = False
    """If this fails, the run ends but undoes nothing that is whole: the user wants to look at it."""


class Node(msgspec.Struct, frozen=True):
    """An action in its place. `inputs` are part of its identity, by what they put out; `after` only orders."""

    id: str
    action: Action
    inputs: Mapping[str, str] = {}
    after: tuple[str, ...] = ()
    label: str = ""


class Output(msgspec.Struct, frozen=True):
    """What a node put out: a small value, and the digests of the artifacts that the value speaks of.

    `digest` is its identity: what consumers are keyed by, so equal outputs cut the work off early. It is computed
    unless whoever remembers the output remembers its digest too.
    """

    value: Canonical
    artifacts: tuple[Digest, ...] = ()
    digest: Digest = Digest("")

    def __post_init__(self) -> None:
        """Compute the digest."""
        if self.digest:
            return
        if not self.artifacts:
            force_setattr(self, "digest", digest_of_value(self.value))
        else:
            document = {"value": self.value, "artifacts": list(self.artifacts)}
            force_setattr(self, "digest", digest_of("banger.output", document))


def action_document(action: Action, inputs: Mapping[str, Digest]) -> dict[str, Canonical]:
    """Everything that identifies an action. `banger why` compares two of these: what is hashed is what is shown."""
    return {
        "kind": action.kind,
        "version": action.version,
        "params": action.params,
        "inputs": inputs,
    }


def action_digest(action: Action, inputs: Mapping[str, Digest]) -> Digest:
    """Digest of an action's document, domain `banger.action`."""
    return digest_of_action(action.kind, action.version, action.params, inputs)
