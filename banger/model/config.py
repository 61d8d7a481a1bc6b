"""What the user has configured, and where each value comes from. How it is read: banger.model.config_text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ROOT_HOME = "/root"
"""What `~/` of a guest path means."""


@dataclass(frozen=True, slots=True)
class FileSync:
    """Files of the host that every VM gets. `host` begins with `~/` or is absolute; `guest` is absolute, below /root.

    `mode`: of a file that the entry itself names; None is 0600.
    """

    host: str
    guest: str
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from. `where`: `FILE:LINE`, or the name of the variable."""

    source: Literal["file", "env"]
    where: str


@dataclass(frozen=True, slots=True)
class Config:
    """Everything in the configuration; None is what nobody has set. `origins` are by key (`vm_defaults.vcpu`)."""

    path: str
    """The file, whether it is there or not."""
    ssh_key_path: str | None = None
    firecracker_bin: str | None = None
    templates: bool | None = None
    daemon_idle_s: float | None = None
    image: str | None = None
    vcpu: int | None = None
    memory_mib: int | None = None
    disk_bytes: int | None = None
    image_catalog: str | None = None
    kernel_catalog: str | None = None
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    file_sync: tuple[FileSync, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
