"""A frozen machine, to be started any number of times without booting: values, and the Protocol that a VMM meets.

The state of a machine fits only the VMM, the devices and the processor that it was frozen with. So whoever keeps one
keeps with it what `command_lines` returns, the VMM's binary, and what `VmmFacts` does not say: the host's processor if
the guest sees it. Of a machine started from a template may differ: its id, its directory, the host's end of its
network, and the content and size of the disks in `replaced`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from banger.host.pidfd import ProcessIdentity
from banger.vm import Machine

FORMAT = 1
"""Of the files below, and of the way in which they are made: raise it when either changes."""


class MemoryUse(StrEnum):
    """Whether a machine's memory is written to its file, or is a private copy of it that only reads are shared of."""

    FREEZE = "freeze"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file of exactly the size of a machine's memory, with holes where it is zero."""

    path: Path
    use: MemoryUse


@dataclass(frozen=True, slots=True)
class FrozenFiles:
    """A frozen machine on the host: its memory and the state of its devices. Neither is ever written again."""

    memory: Path
    devices: Path


class TemplateVmm(Protocol):
    """A VMM that can freeze and restore. Every method may raise HostError and DeadlineError."""

    def command_lines(self, *, vcpus: int, memory_mib: int) -> Sequence[Sequence[str]]:
        """Say everything that the VMM would be told for such a machine, with the names of files and ports left out."""
        ...

    async def launch_to_freeze(self, machine: Machine, memory: Path, *, deadline_s: float) -> ProcessIdentity:
        """Boot a machine whose memory is in a file. Its process ends with the caller, whatever happens to it."""
        ...

    async def freeze(self, machine: Machine, process: ProcessIdentity, devices: Path, *, deadline_s: float) -> None:
        """Stop a machine, write the state of its devices, and end its VMM; then its memory's file is whole too."""
        ...

    async def restore(
        self, machine: Machine, frozen: FrozenFiles, *, replaced: Sequence[str], deadline_s: float
    ) -> ProcessIdentity:
        """Start a machine from its frozen state; its guest goes on when this returns.

        `replaced`: serials of disks that are not those it was frozen with; the guest is told their size. Raises
        TemplateError if the VMM does not take the state, TransientError if the machine's port is taken. A restore that
        raises leaves no process.
        """
        ...
