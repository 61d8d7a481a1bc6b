"""Real git repositories, and a directory of this machine in the place of a guest."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from banger.guest.programs import place_path
from banger.model.vm import WorkspaceRequest
from banger.model.workspace import ExportView
from banger.workspace.export import Receiver, branch_of, export_workspace, new_folder
from banger.workspace.inspect import inspect_repository
from banger.workspace.prepare import Prepared, prepare_workspace
from banger.workspace.record import load_record
from banger.workspace.sync import sync_workspace
from banger.workspace.update import Way
from banger.workspace.values import Workspace

AUTHOR = {"NAME": "Ada", "EMAIL": "ada@example.org", "DATE": "2024-01-01T00:00:00Z"}


def environment(home: Path) -> dict[str, str]:
    """Return an environment for git in which nothing of this machine's configuration counts."""
    who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in AUTHOR.items()}
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LC_ALL": "C.UTF-8",
        **who,
    }


@dataclass(frozen=True, slots=True)
class Repo:
    """A checkout at `root`; `home` is its user's."""

    root: Path
    home: Path

    def git(self, *words: str | bytes, stdin: bytes = b"") -> str:
        argv = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *words]
        done = subprocess.run(
            argv, cwd=self.root, env=environment(self.home), input=stdin, capture_output=True, check=False
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.decode("utf-8", "surrogateescape").strip("\n")

    def write(self, path: str | bytes, content: str | bytes = "x\n", mode: int | None = None) -> Path:
        place = self.root / os.fsdecode(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        if mode is not None:
            place.chmod(mode)
        return place

    def commit(self, message: str = "a commit") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    async def inspect(self, path: str = "", *, include_untracked: bool = False, **options: Any) -> Workspace:
        environ = {"HOME": str(self.home)}
        return await inspect_repository(
            self.root / path, include_untracked=include_untracked, environ=environ, **options
        )


def make_repo(folder: Path, *init: str) -> Repo:
    """Make an empty repository at ``folder/repo``, whose user has the home ``folder/home``."""
    for name in ("repo", "home"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    repo = Repo(folder / "repo", folder / "home")
    repo.git("init", "-q", *init)
    return repo


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    stdout: bytes
    stderr: bytes


@dataclass(slots=True)
class Guest:
    """A directory; its ``root/repo`` is where the checkout goes. `cut_bytes`: break the stream off after that many."""

    folder: Path
    cut_bytes: int | None = None
    received: bytearray = field(default_factory=bytearray)
    ran: list[list[str]] = field(default_factory=list)

    @property
    def repo(self) -> Repo:
        return Repo(self.folder / "root/repo", self.folder / "home")

    async def run(self, words: Sequence[str], stdin: AsyncIterator[bytes]) -> Ended:
        out, err = self.folder / "stdout", self.folder / "stderr"
        if "/" in words[0] and shutil.which(words[0]) is None:
            return Ended(127, b"", b"not found")
        self.ran.append(list(words))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: ASYNC220 - fed from here, waited for below
                list(words),
                env=self.environ(),
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
            )
        assert process.stdin
        try:
            async for chunk in stdin:
                kept = chunk if self.cut_bytes is None else chunk[: max(0, self.cut_bytes - len(self.received))]
                self.received += kept
                process.stdin.write(kept)
                if kept != chunk:
                    break
        except BrokenPipeError:
            pass
        finally:
            process.stdin.close()
            status = await anyio.to_thread.run_sync(process.wait)
        return Ended(status, out.read_bytes(), err.read_bytes())

    def environ(self) -> Mapping[str, str]:
        who = environment(self.folder / "home")
        return {name: value for name, value in who.items() if not name.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))}

    async def sync(self, workspace: Workspace, scratch: Path) -> None:
        for folder in (self.folder / "root", self.folder / "home", scratch):
            folder.mkdir(parents=True, exist_ok=True)
        for one in os.listdir(scratch):  # noqa: PTH208
            (scratch / one).unlink()
        place = str(self.folder / "root/repo")
        await sync_workspace(workspace, self.run, scratch=scratch, program=place_path(), place=place)

    async def prepare(self, repo: Repo, *, is_replacing: bool = False, **options: Any) -> Prepared:
        """Bring the checkout up to date as the daemon does; the VM's directory is ``folder/vm``."""
        scratch = self.folder / "scratch"
        for folder in (self.folder / "root", self.folder / "home", self.folder / "vm", scratch):
            folder.mkdir(parents=True, exist_ok=True)
        for one in os.listdir(scratch):  # noqa: PTH208
            (scratch / one).unlink()
        self.received.clear()
        self.ran.clear()
        way = Way(self.run, scratch, place_path(), str(self.folder / "root/repo"))
        request = WorkspaceRequest(str(repo.root), **options)
        return await prepare_workspace(request, self.folder / "vm", way, is_replacing=is_replacing)

    async def export(self, repo: Repo, name: str = "box") -> ExportView:
        """Export as the daemon does."""
        directory = self.folder / "vm"
        record = load_record(directory)
        assert record is not None
        assert record.current is not None

        async def run(words: Sequence[str], sink: Receiver) -> Ended:
            ended = await self.run(words, nothing())
            for at in range(0, len(ended.stdout), 1000):
                sink(ended.stdout[at : at + 1000])
            return ended

        place = str(self.folder / "root/repo")
        return await export_workspace(
            name, record.current, run, new_folder(directory), path=str(repo.root), place=place
        )

    def branch(self, view: ExportView, name: str | None = None) -> str:
        """Make an export a branch."""
        return branch_of(self.folder / "vm/exports" / view.id, name).name

    def left(self) -> list[str]:
        """Return what is beside the checkout."""
        return sorted(path.name for path in (self.folder / "root").iterdir())


async def nothing() -> AsyncIterator[bytes]:
    """A program's input, of which there is none."""
    for part in tuple[bytes, ...]():
        yield part


def tree(root: Path) -> dict[str, tuple[str, bytes]]:
    """Return every file below a directory, but for those in .git: its kind and content."""
    found: dict[str, tuple[str, bytes]] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [one for one in folders if one != ".git"]
        for path in (Path(folder, name) for name in (*folders, *names) if name != ".git"):
            name = str(path.relative_to(root))
            if path.is_symlink():
                found[name] = ("link", os.fsencode(path.readlink()))
            elif path.is_file():
                found[name] = ("program" if path.stat().st_mode & 0o100 else "file", path.read_bytes())
    return found
