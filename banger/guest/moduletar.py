"""Kernel modules read from a tar: what `kernel.unpack` keeps of a kernel package."""

import tarfile
from pathlib import Path
from typing import Self

from banger.guest.elf import module_name


class ModuleTar:
    """A ModuleSource over a tar of lib/modules/<release>. Close it, or use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed by __exit__
        self._members = {}
        builtin = b""
        for member in self._tar:
            name = Path(member.name).name
            if ".ko" in name:
                self._members[module_name(name)] = member
            elif name == "modules.builtin":
                builtin = self._content(member)
        self._builtin = frozenset(module_name(Path(line).name) for line in builtin.decode().splitlines())

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        self._tar.close()

    def read(self, name: str) -> bytes | None:
        """Return the file of a module."""
        member = self._members.get(name)
        return self._content(member) if member else None

    def builtin(self, name: str) -> bool:
        """Say whether the kernel image contains this module."""
        return name in self._builtin

    def _content(self, member: tarfile.TarInfo) -> bytes:
        file = self._tar.extractfile(member)
        assert file is not None, f"{member.name} is not a regular file"
        return file.read()
