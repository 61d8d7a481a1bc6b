"""What is kept of a run besides its times: which nodes it had, what each was made from, what each put out."""

from collections.abc import Mapping

import msgspec

from banger.model.digest import Canonical, Digest


class ToldNode(msgspec.Struct, frozen=True, array_like=True):
    """One node of one run. `digest` and `output` are None for a node that the run did not come to.

    `size_bytes`: of the artifacts that it put out, as far as they were there when the run ended.
    """

    id: str
    kind: str
    flavour: str
    label: str
    inputs: dict[str, str]
    after: tuple[str, ...]
    digest: Digest | None
    output: Digest | None
    pools: tuple[tuple[str, int], ...]
    network: bool
    privileged: bool
    size_bytes: int | None
    forced: bool = False
    """It was to run though its result was remembered."""

    def depends_on(self) -> list[str]:
        """The nodes that it waits for, each once."""
        return list(dict.fromkeys((*self.inputs.values(), *self.after)))


class Recorded(msgspec.Struct, frozen=True):
    """One node of one run with all that explains it: see `banger.graph.explain`.

    `document` is what was hashed into the action digest, `value` what a query or gate put out; None if not kept.
    """

    told: ToldNode
    cache: str
    outcome: str
    document: Mapping[str, Canonical] | None = None
    value: Canonical = None
