"""Bring back what was done in a guest's checkout: to be looked at first, then as a new branch or a patch.

The guest writes some lines and a pack (export.sh); it may as well write anything else. Nothing of it is believed but
what git, confined, finds sound in a repository of ours; the user's is written to only by `make_branch`, once they say
so.
"""

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from banger.model.errors import ConflictError, GuestError, NotFoundError
from banger.model.workspace import BranchView, ExportView
from banger.store.scratch import remove_tree
from banger.workspace.guest import GUEST_REPOSITORY, Ended, failure
from banger.workspace.locate import Located, locate
from banger.workspace.names import check_branch, display
from banger.workspace.newbranch import free_name, make_branch
from banger.workspace.quarantine import PACK_LIMIT_BYTES, Quarantine
from banger.workspace.record import Sent

SCRIPT = Path(__file__).with_name("export.sh")
_HEAD_LIMIT_BYTES = 64 * 1024
_FIRST = "banger-export 1"
_OTHERS_MOST = 20
_NOT_OURS = 3
_OID = {"sha1": 40, "sha256": 64}
_VIEW, _PATCH, _PACK, _QUARANTINE = "view.json", "changes.patch", "pack", "quarantine.git"


@dataclass(frozen=True, slots=True)
class Claims:
    """What the guest says that it has; only the form has been checked."""

    head: str | None
    tip: str | None
    branch: str | None
    others: tuple[str, ...]


class Receiver:
    """Takes the guest's output: lines into memory, the rest into a file, neither without end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._head = bytearray()
        self._left = PACK_LIMIT_BYTES
        self._has_head = False

    def __call__(self, data: bytes) -> None:
        """Take what came. Raises GuestError for too much."""
        if not self._has_head:
            self._head += data
            lines, end, rest = bytes(self._head).partition(b"\n\n")
            if not end:
                if len(self._head) > _HEAD_LIMIT_BYTES:
                    raise GuestError("the guest's export does not begin as one does")
                return
            self._head, self._has_head, data = bytearray(lines), True, rest
        self._left -= len(data)
        if self._left < 0:
            raise GuestError(f"the guest's export is larger than {PACK_LIMIT_BYTES} bytes")
        self._file.write(data)

    def claims(self, object_format: str) -> Claims:
        """Read the lines. Raises GuestError for what is none of them."""
        lines = self._head.decode("utf-8", "replace").split("\n")
        if not self._has_head or lines[0] != _FIRST:
            raise GuestError("the guest's export does not begin as one does")
        found: dict[str, list[str]] = {}
        for line in lines[1:]:
            key, _, value = line.partition(" ")
            found.setdefault(key, []).append(value)
        if not {"head", "tip", "branch"} <= set(found) <= {"head", "tip", "branch", "other"}:
            raise GuestError("the guest's export does not say what it is of")
        branch = found["branch"][0]
        return Claims(
            _oid(found["head"][0], object_format),
            _oid(found["tip"][0], object_format),
            None if branch == "none" else display(branch),
            tuple(display(name) for name in found.get("other", [])[:_OTHERS_MOST]),
        )


def _oid(text: str, object_format: str) -> str | None:
    if text == "none":
        return None
    if not re.fullmatch(f"[0-9a-f]{{{_OID[object_format]}}}", text):
        raise GuestError("the guest's export names what is no object id")
    return text


RunWithSink = Callable[[Sequence[str], Receiver], Awaitable[Ended]]
"""Runs a program in the guest to its end; its output goes to the receiver, which may raise to have it ended."""


async def export_workspace(
    vm: str,
    current: Sent,
    run: RunWithSink,
    folder: Path,
    *,
    path: str | None = None,
    place: str = GUEST_REPOSITORY,
) -> ExportView:
    """Take in what was done in a guest's checkout since it was made as `current`. `folder` is a new one, to be kept
    with what came for as long as somebody may want it; `path` is in the user's repository (default: where it came
    from).

    Raises GuestError for what is not sound, NotFoundError if the repository, or the commit, is not there any more.
    """
    located = locate(Path(path or current.root))
    quarantine = Quarantine(folder / _QUARANTINE, located.repository)
    quarantine.make()
    if located.repository.object_format != current.object_format or (
        current.base and not await quarantine.has_commit(current.base)
    ):
        raise NotFoundError(
            f"{located.repository.root} does not have the commit that the VM's checkout was made from",
            hint=f"banger vm workspace export {vm} PATH    # where a repository is that does",
        )
    pack = folder / _PACK
    with pack.open("xb") as file:
        receiver = Receiver(file)
        words = ["sh", "-c", SCRIPT.read_text(encoding="ascii"), "sh", place, current.base or "none"]
        ended = await run(words, receiver)
    if ended.status == _NOT_OURS:
        raise ConflictError(f"VM {vm!r} has no checkout at {place}", hint=f"banger vm workspace prepare {vm} PATH")
    if ended.status != 0:
        raise failure(ended, f"the guest could not export {place}")
    claims = receiver.claims(located.repository.object_format)
    view = await _look(vm, current, claims, quarantine, folder, str(located.repository.root))
    (folder / _VIEW).write_bytes(msgspec.json.encode(view))
    return view


async def _look(
    vm: str, current: Sent, claims: Claims, quarantine: Quarantine, folder: Path, repository: str
) -> ExportView:
    base, tip = current.base, claims.tip
    if tip is None or tip == base:
        return ExportView(
            id=folder.name,
            vm=vm,
            repository=repository,
            base=base,
            tip=None,
            branch=claims.branch,
            uncommitted=False,
            descends=True,
            others=list(claims.others),
        )
    await quarantine.take(folder / _PACK)
    (folder / _PACK).unlink()
    await quarantine.check_commit(tip)
    files, nested = await quarantine.files(base, tip)
    await quarantine.write_patch(base, tip, folder / _PATCH)
    return ExportView(
        id=folder.name,
        vm=vm,
        repository=repository,
        base=base,
        tip=tip,
        branch=claims.branch,
        uncommitted=tip != claims.head,
        descends=await quarantine.descends(base, tip),
        commits=await quarantine.commits(base, tip),
        files=files,
        patch=str(folder / _PATCH),
        others=list(claims.others),
        left_behind=nested,
    )


def branch_of(folder: Path, name: str | None) -> BranchView:
    """Make what was exported into `folder` a new branch of the user's repository: `name`, or ``banger/<vm>`` with a
    number if need be.

    Raises NotFoundError if nothing was, ConflictError if there is such a branch.
    """
    try:
        view = msgspec.json.decode((folder / _VIEW).read_bytes(), type=ExportView)
    except (OSError, msgspec.MsgspecError) as error:
        raise NotFoundError("there is no such export", hint="banger vm workspace export <vm>") from error
    if view.tip is None:
        raise ConflictError(f"nothing was done in VM {view.vm!r} that a branch could hold")
    located: Located = locate(Path(view.repository))
    branch = free_name(located, f"banger/{view.vm}") if name is None else check_branch(name)
    make_branch(located, branch, view.tip, folder / _QUARANTINE / "objects/pack")
    return BranchView(view.repository, branch, view.tip)


def new_folder(directory: Path) -> Path:
    """Make a directory for an export below a VM's, and let go of what earlier ones left."""
    exports = directory / "exports"
    exports.mkdir(mode=0o700, exist_ok=True)
    for old in sorted(exports.iterdir()):
        remove_tree(old, below=exports)
    folder = exports / os.urandom(8).hex()
    folder.mkdir(mode=0o700)
    return folder
