"""What a trap is, and the ground that it is set in."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.unit.workspace.repositories import Repo, make_repo

CANARY = "canary-6f1d2b-never-to-be-read"
"""The content of what lies outside of the repository."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A repository with a neighbourhood: a program that leaves a mark when it runs, and others' secrets."""

    folder: Path
    repo: Repo

    @property
    def git_dir(self) -> Path:
        return self.repo.root / ".git"

    @property
    def evil(self) -> Path:
        """A program that makes the file `mark`."""
        return self.folder / "evil"

    @property
    def mark(self) -> Path:
        return self.folder / "mark"

    @property
    def secrets(self) -> Path:
        """A directory with a secret file, `id_rsa`."""
        return self.folder / "secrets"

    @property
    def other(self) -> Repo:
        """Another repository of the user's, with a secret in its history and in its checkout."""
        return Repo(self.folder / "other", self.repo.home)

    def config(self, text: str) -> None:
        with (self.git_dir / "config").open("a") as file:
            file.write(text)


Set = Callable[[Ground], None]


@dataclass(frozen=True, slots=True)
class Trap:
    """A trap by name. `says`: the error it must end in, a regular expression; None: it must end in a result.

    `start`: the path within the repository that the user names. `hangs`: git waits for ever. `ships`: it is sent to a
    guest as well. `untracked`: they are asked for. `environ`: set in banger's own environment, `@` for the folder.
    """

    name: str
    set: Set
    says: str | None = None
    start: str = ""
    hangs: bool = False
    ships: bool = True
    untracked: bool = True
    environ: tuple[tuple[str, str], ...] = ()


def config_trap(name: str, text: str, *, says: str | None = None, ships: bool = False) -> Trap:
    """Return a trap that is some lines of configuration: `@` stands for the folder around the repository."""
    return Trap(name, partial(_configure, text), says=says, ships=ships)


def _configure(text: str, ground: Ground) -> None:
    ground.config("\n" + text.replace("@", str(ground.folder)) + "\n")


def make_template(folder: Path) -> None:
    """Make what every ground is a copy of."""
    repo = make_repo(folder, "--template=")
    repo.write("README", "hello\n")
    repo.write("src/main.c", "int main;\n")
    repo.write(".gitattributes", "* filter=x diff=x merge=x\n")
    repo.write(".gitignore", "*.o\n")
    repo.commit("first")
    repo.write("src/main.c", "int main(void);\n")
    repo.commit("second")
    repo.write("README", "changed\n")
    repo.write("untracked", "mine\n")
    other = make_repo(folder / "made", "--template=")
    other.write("secret", CANARY)
    other.write("README", CANARY)
    other.commit(CANARY)
    other.root.rename(folder / "other")
    evil = folder / "evil"
    evil.write_text('#!/bin/sh\n: >"$(dirname "$0")/mark"\ncat\n')
    evil.chmod(0o755)
    (folder / "secrets").mkdir()
    (folder / "secrets/id_rsa").write_text(CANARY)


def make_ground(template: Path, folder: Path) -> Ground:
    """Copy the template."""
    shutil.copytree(template, folder, symlinks=True)
    return Ground(folder, Repo(folder / "repo", folder / "home"))
