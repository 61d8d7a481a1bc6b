"""Directories of ours that come and go: the only place that removes a tree."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from banger.store.files import refusals


class Scratch:
    """`tmp/` in the state directory: same filesystem as the CAS, so that a finished file is linked, not copied."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with refusals(f"make {root}"):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """Make an empty directory, and remove it with all that is in it afterwards."""
        with self.on_demand() as make:
            yield make()

    def on_demand(self) -> "OnDemand":
        """The same for who may not need one: the block is given a function that makes the directory."""
        return OnDemand(self.root)

    def sweep(self) -> None:
        """Remove what a killed process left. Only when this process alone owns the state directory."""
        for path in self.root.iterdir():
            with suppress(PermissionError):  # files of subordinate ids, which only a user namespace can remove
                remove_tree(path, below=self.root)


class OnDemand:
    """A directory that is made when it is asked for, and is gone after the block."""

    __slots__ = ("_made", "_root")

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: Path | None = None

    def __enter__(self) -> Callable[[], Path]:
        """Give the function that makes it."""
        return self._make

    def __exit__(self, *_: object) -> None:
        """Remove it with all that is in it."""
        if self._made is not None:
            remove_tree(self._made, below=self._root)

    def _make(self) -> Path:
        if self._made is None:
            path = self._root / os.urandom(16).hex()
            with refusals("make a scratch directory"):
                path.mkdir(mode=0o700)
            self._made = path
        return self._made


def remove_tree(path: Path, *, below: Path) -> None:
    """Remove a file or tree that banger made; absent is fine. `below` is the directory of ours that contains it."""
    if path.parent != below or path.name in {"", ".", ".."}:
        raise AssertionError(f"{path} is not directly in {below}")
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    import shutil  # brings four compression libraries along

    shutil.rmtree(path)  # noqa: TID251 - the one place; the library does not follow symlinks
