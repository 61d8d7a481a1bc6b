"""Take in objects from a guest, which may be anything, into a repository of ours where they can do nothing.

The pack is unpacked and checked by a git that may write to that repository only, may read the user's objects, and runs
no program (banger.host.git). Every object is looked at as `git fsck --strict` would, and every object that one names
must be there. The user's repository is not written to.
"""

import os
import re
from pathlib import Path

from banger.host.git import EMPTY_TREES, Repository, run_git
from banger.model.errors import GuestError, SpecError
from banger.model.workspace import CommitView, FileChangeView
from banger.workspace.names import check_path, display
from banger.workspace.values import SUBMODULE_MODE

PACK_LIMIT_BYTES = 8 * 1024**3
PATCH_LIMIT_BYTES = 1024**3
DEADLINE_S = 900.0
COMMITS_SHOWN = 200
_FOLDERS = ("objects/info", "objects/pack", "refs/heads")
_SHOWN_BYTES = 500
_NAME_BYTES = 255
_RAW = re.compile(rb":(\d{6}) (\d{6}) ([0-9a-f]+) ([0-9a-f]+) ([A-Z])[0-9]*\Z")


class Quarantine:
    """A repository of ours at `folder`, that borrows the objects of the user's."""

    def __init__(self, folder: Path, user: Repository) -> None:
        self._user = user
        self.repository = Repository(
            root=folder,
            git_dir=folder,
            common_dir=folder,
            object_format=user.object_format,
            also_read=(user.common_dir, user.root),
            is_ours=True,
        )

    def make(self) -> None:
        """Make it, with nothing in it. By hand: `git init` would take the user's templates along."""
        folder = self.repository.git_dir
        for name in _FOLDERS:
            (folder / name).mkdir(mode=0o700, parents=True)
        is_sha1 = self.repository.object_format == "sha1"
        extension = "" if is_sha1 else f"[extensions]\n\tobjectformat = {self.repository.object_format}\n"
        (folder / "config").write_text(
            f"[core]\n\trepositoryformatversion = {int(not is_sha1)}\n\tbare = true\n{extension}", encoding="ascii"
        )
        (folder / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        objects = os.fsencode(_quoted(str(self._user.common_dir / "objects")))
        (folder / "objects/info/alternates").write_bytes(objects + b"\n")

    async def take(self, pack: Path) -> None:
        """Take in a pack. Raises GuestError if it is not sound."""
        with pack.open("rb") as source:
            if os.fstat(source.fileno()).st_size == 0:
                return
            done = await run_git(
                self.repository,
                ["index-pack", "--stdin", "--fix-thin", "--strict", f"--max-input-size={PACK_LIMIT_BYTES}"],
                deadline_s=DEADLINE_S,
                stdin=source.fileno(),
                output_limit_bytes=PACK_LIMIT_BYTES,
            )
        if done.status != 0:
            raise _unsound(done.stderr)

    async def check_commit(self, oid: str) -> None:
        """Raises GuestError unless it is a commit that is here."""
        done = await self._ask("rev-parse", "-q", "--verify", "--end-of-options", f"{oid}^{{commit}}")
        if done.strip() != oid.encode():
            raise GuestError(f"the guest names {oid}, which is not a commit that it has sent")

    async def has_commit(self, oid: str) -> bool:
        """Whether a commit is here."""
        done = await run_git(self.repository, ["rev-parse", "-q", "--verify", "--end-of-options", f"{oid}^{{commit}}"])
        return done.status == 0

    async def commits(self, base: str | None, tip: str) -> list[CommitView]:
        """Return the newest commits that `tip` stands on and `base` does not."""
        since = [f"^{base}"] if base else []
        form = ["--no-commit-header", "--format=%H%x00%an%x00%s%x00"]
        output = await self._ask("rev-list", f"--max-count={COMMITS_SHOWN}", *form, tip, *since, "--")
        fields = output.decode(errors="replace").split("\0")
        groups = zip(*[iter(fields)] * 3, strict=False)
        return [CommitView(oid.strip(), author, subject) for oid, author, subject in groups]

    async def descends(self, base: str | None, tip: str) -> bool:
        """Whether `tip` stands on `base`."""
        return base is None or not (await self._ask("rev-list", "--max-count=1", base, f"^{tip}", "--")).strip()

    async def files(self, base: str | None, tip: str) -> tuple[list[FileChangeView], list[str]]:
        """Return what differs, and the repositories inside the checkout, of which only a commit's id is there.

        Raises SpecError for a name that no file of a repository can have.
        """
        raw = await self._diff(base, tip, "--raw", "--no-abbrev")
        counts = _counts(await self._diff(base, tip, "--numstat"))
        changes: list[FileChangeView] = []
        nested: list[str] = []
        for entry, name in zip(*[iter(raw.split(b"\0"))] * 2, strict=False):
            match = _RAW.match(entry)
            if match is None:
                raise GuestError(f"git shows a difference of an unknown form: {entry[:80]!r}")
            path = check_path(name.decode("utf-8", "surrogateescape"), "the guest's checkout")
            if any(len(part) > _NAME_BYTES for part in name.split(b"/")):
                raise GuestError(f"the guest's checkout has a file with a name that no disk holds: {path[:80]!r}")
            if int(match[2], 8) == SUBMODULE_MODE:
                nested.append(display(path))
            added, removed = counts.get(name, (None, None))
            changes.append(FileChangeView(match[5].decode(), display(path), added, removed))
        return changes, nested

    async def write_patch(self, base: str | None, tip: str, file: Path) -> None:
        """Write all of the difference, for `git apply`."""
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            done = await run_git(
                self.repository,
                [*_DIFF, "-p", "--binary", "--full-index", "--no-color", self._left(base), tip, "--"],
                deadline_s=DEADLINE_S,
                output=descriptor,
                output_limit_bytes=PATCH_LIMIT_BYTES,
            )
        finally:
            os.close(descriptor)
        if done.status != 0:
            raise _unsound(done.stderr)

    async def _diff(self, base: str | None, tip: str, *form: str) -> bytes:
        return await self._ask(*_DIFF, *form, "-z", self._left(base), tip, "--")

    def _left(self, base: str | None) -> str:
        return base or EMPTY_TREES[self.repository.object_format]

    async def _ask(self, *args: str) -> bytes:
        done = await run_git(self.repository, args, deadline_s=DEADLINE_S)
        if done.status != 0:
            raise _unsound(done.stderr)
        return done.stdout


_DIFF = ("diff-tree", "-r", "--no-ext-diff", "--no-textconv", "--no-renames")


def _counts(output: bytes) -> dict[bytes, tuple[int | None, int | None]]:
    """Read what --numstat -z prints: lines added, tab, removed, tab, name; ``-`` for what is no text."""
    counts: dict[bytes, tuple[int | None, int | None]] = {}
    for entry in output.split(b"\0")[:-1]:
        added, removed, name = entry.split(b"\t", 2)
        counts[name] = (int(added), int(removed)) if added != b"-" else (None, None)
    return counts


def _unsound(stderr: bytes) -> GuestError:
    text = stderr[-_SHOWN_BYTES:].decode(errors="replace").strip()
    said = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    return GuestError(f"what the guest sent is not sound, and nothing of it was taken:\n{said}")


def _quoted(path: str) -> str:
    """Write a path for `objects/info/alternates` (gitrepository-layout(5)), which takes C's quotes."""
    shown = display(path)
    if "\n" in path and shown == path:
        raise SpecError(f"{path!r}: git cannot borrow objects from there")
    return shown
