"""Images as they are shown, and what can be asked of them: plain data, JSON on the wire."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Pull: TypeAlias = Literal["always", "missing", "never"]
"""Whether a registry is asked what a name means now: always, only for an image that is not here, never."""


@dataclass(frozen=True, slots=True)
class ImageView:
    """An image. `state`: ready; `catalog`, to be had by that name; `files`, of which only the user's own files are
    known; `own`, which banger makes itself when it is wanted; `damaged`, whose disks have gone: its next VM makes them
    again.

    `digest`: of the manifest. `root_bytes`, `work_bytes`: of its disks; `disk_bytes`: what they take with their layers.
    `provisioned`: SSH was installed here. `vms`: the names of those that use it.
    """

    name: str
    source: str
    state: Literal["ready", "catalog", "files", "own", "damaged"]
    digest: str | None = None
    layers: int = 0
    layer_bytes: int = 0
    root_bytes: int | None = None
    work_bytes: int | None = None
    disk_bytes: int = 0
    root_digest: str | None = None
    work_digest: str | None = None
    system: str = ""
    has_ssh: bool = True
    provisioned: bool = False
    added_at: float | None = None
    kernel_ref: str | None = None
    vms: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What `image pull` asks of the daemon. `name` None: that which follows from the source."""

    source: str
    name: str | None = None
    pull: Pull = "always"
    kernel_ref: str | None = None


@dataclass(frozen=True, slots=True)
class RegisterRequest:
    """What `image register` asks: absolute paths of the user's files. `seed` None: an empty work disk."""

    name: str
    rootfs: str
    seed: str | None = None
    kernel_ref: str | None = None
