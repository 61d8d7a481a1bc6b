"""Bring a guest's checkout up to date with the one here: what changed is sent, and what changed there is never lost.

A file is written only if it is, in the guest, what was put there last (or what it is to be). Commits are added only if
the guest's own are part of them. Otherwise nothing is touched at all, and the error names what is in the way.

If no commit and nothing of the index changed, one program of ours does it all: under emulation git takes a third of a
second each time it starts.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from banger.model.errors import BangerError, ConflictError, GuestError
from banger.workspace.archive import END, PROGRAM, copy_file, encoded, joined, small
from banger.workspace.beneath import open_tree
from banger.workspace.bundle import write_bundle
from banger.workspace.guest import GUEST_REPOSITORY, Ended, Report, RunInGuest, failure, no_report, send
from banger.workspace.history import read_tree
from banger.workspace.names import display
from banger.workspace.plan import Change, changes, write_plan
from banger.workspace.record import Entry, Record, Sent
from banger.workspace.values import SUBMODULE_MODE, Workspace

SCRIPT = Path(__file__).with_name("update.sh")
REPLACE_HINT = "banger vm workspace prepare --replace <vm>    # puts aside what is there"
_OTHER_STATE, _CHANGED, _ABSENT_OBJECT, _MOVED = 3, 4, 7, 8
_NOT_EXECUTABLE = (126, 127)
_SHOWN = 10

_RECEIVE = f"""
set -eu
umask 022
[ ! -e "$1" ] || rm -rf "$1"
trap 'rm -rf "$1"' EXIT
trap 'rm -rf "$1"; exit 1' HUP INT TERM
mkdir -m 700 "$1"
cd "$1"
tar --extract --file=- --touch --no-same-owner
sh {SCRIPT.name} "$2" "$3"
"""


class ElsewhereError(BangerError):
    """The guest does not have the checkout that it was last known to have; `says` is what it has, if it says."""

    def __init__(self, says: str) -> None:
        super().__init__("the guest's checkout is another than the one that was put there")
        self.says = says


@dataclass(frozen=True, slots=True)
class Way:
    """How the guest is reached, and what is needed on the way: see `sync_workspace`."""

    run: RunInGuest
    scratch: Path
    program: Path
    place: str = GUEST_REPOSITORY
    report: Report = no_report


async def update_workspace(found: Workspace, record: Record, way: Way) -> int:
    """Send what changed since `record`, and return how many files that were.

    Raises ConflictError if the guest has changed the same, ElsewhereError if it does not have that checkout,
    ConflictError if a file changes meanwhile, and GuestError.
    """
    states = [state for state in (record.current, record.pending) if state is not None]
    if found.base is None and any(state.base for state in states):
        raise ConflictError(
            f"{found.repository.root}: the branch {found.branch} has no commit, and the VM's checkout has",
            hint=REPLACE_HINT,
        )
    old = [(state, await _files_of(state, found)) for state in states]
    changed = changes(old, found)
    names = [state.digest for state in states]
    if _is_plain(states, found, changed):
        ended = await _send_plan(found, changed, names, way)
        if ended.status in _NOT_EXECUTABLE:
            ended = await _send_archive(found, old[0][0], changed, names, way)
    else:
        ended = await _send_archive(found, old[0][0], changed, names, way)
    if ended.status != 0:
        raise _refusal(ended, way.place)
    return len(changed)


async def _files_of(state: Sent, found: Workspace) -> Mapping[str, Entry]:
    """Return the files of the commit that a state was based on."""
    if state.base == found.base:
        return found.base_files
    try:
        files = await read_tree(found.repository, state.base)
    except BangerError as error:
        raise ConflictError(
            f"{found.repository.root}: the commit that the VM's checkout is based on is not here any more",
            hint=REPLACE_HINT,
        ) from error
    return {path: entry for path, entry in files.items() if entry[0] != SUBMODULE_MODE}


def _is_plain(states: Sequence[Sent], found: Workspace, changed: Sequence[Change]) -> bool:
    """Whether only files changed, none of which git must be told of."""
    commits = (found.base, found.head, found.branch, found.shallow)
    added = set(found.added)
    return all(
        (state.base, state.head, state.branch, state.shallow) == commits and set(state.added) == added
        for state in states
    ) and not any(change.path in added for change in changed)


async def _send_plan(found: Workspace, changed: Sequence[Change], names: Sequence[str], way: Way) -> Ended:
    total = _total(found, changed)
    with open_tree(found.repository.root) as tree:
        plan = write_plan(tree, found, changed, names, found.digest)
        return await way.run([f"{way.place}/{PROGRAM}", way.place], send(plan, total, way.report))


async def _send_archive(
    found: Workspace, old: Sent, changed: Sequence[Change], names: Sequence[str], way: Way
) -> Ended:
    """Send the plan beside commits and a script that deals with both; the whole history if a part does not do."""
    known = dict.fromkeys(commit for commit in (old.base, old.head) if commit)
    ended = None
    for commits in (tuple(known), ()):
        path = way.scratch / f"bundle-{len(commits)}"
        has_all = found.base is None or (commits and {found.base, found.head} <= set(commits))
        bundle = None if has_all or not await write_bundle(found, path, known=commits) else path
        folder, _, name = way.place.rpartition("/")
        words = ["sh", "-c", _RECEIVE, "sh", f"{folder}/.{name}.incoming", way.place, found.digest]
        total = _total(found, changed) + (bundle.stat().st_size if bundle else 0)
        with closing(_archive(found, old, changed, names, bundle, way)) as chunks:
            ended = await way.run(words, send(chunks, total, way.report))
        if ended.status != _ABSENT_OBJECT or not commits:
            break
    assert ended is not None
    return ended


def _archive(
    found: Workspace, old: Sent, changed: Sequence[Change], names: Sequence[str], bundle: Path | None, way: Way
) -> Generator[bytes, None, None]:
    yield small("place", way.program.read_bytes(), 0o755)
    for name, text in _metadata(found, old, changed).items():
        yield small(f"meta/{name}", encoded(text))
    if bundle is not None:
        yield from copy_file(bundle, "meta/bundle")
    plan = way.scratch / "plan"
    with open_tree(found.repository.root) as tree, plan.open("wb") as file:
        file.writelines(write_plan(tree, found, changed, names, ""))
    yield from copy_file(plan, "meta/plan")
    yield small(SCRIPT.name, SCRIPT.read_bytes())
    yield END


def _metadata(found: Workspace, old: Sent, changed: Sequence[Change]) -> dict[str, str]:
    """Return the files of `meta/` that are text."""
    new_added = set(found.added)
    moves = (old.base, old.head, old.branch, old.shallow) != (found.base, found.head, found.branch, found.shallow)
    gone = [path for path in old.added if path not in new_added and path not in found.base_files]
    stale = {change.path for change in changed} | new_added.difference(old.added)
    if moves:
        stale |= new_added
    texts = {
        "added": joined(path for path in found.added if path in stale),
        "gone": "" if moves and old.base != found.base else joined(gone),
    }
    if moves and found.base is not None:
        texts |= {
            "move": "",
            "old": _line(old.branch) + (old.base or "none") + "\n",
            "new": _line(found.branch) + found.base + "\n",
            "refs": _refs(found),
            "old-added": joined(old.added),
        }
    if moves and found.shallow:
        texts["shallow"] = "".join(f"{oid}\n" for oid in found.shallow)
    return texts


def _line(branch: str | None) -> str:
    return f"refs/heads/{branch}\n" if branch else "none\n"


def _refs(found: Workspace) -> str:
    lines = ""
    if found.branch:
        lines += f"update refs/heads/{found.branch}\0{found.base}\0\0"
    else:
        lines += f"option no-deref\0update HEAD\0{found.base}\0\0"
    if found.head != found.base:
        lines += f"update refs/banger/head\0{found.head}\0\0"
    return lines


def _total(found: Workspace, changed: Sequence[Change]) -> int:
    sizes = {file.path: file.size for file in found.overlay}
    return sum(sizes.get(change.path, 0) for change in changed)


def _refusal(ended: Ended, place: str) -> BangerError:
    if ended.status == _OTHER_STATE:
        return ElsewhereError(ended.stdout[:200].decode("ascii", "replace"))
    if ended.status == _CHANGED:
        paths = [path.decode("utf-8", "surrogateescape") for path in ended.stdout.split(b"\0")[:-1]]
        shown = ", ".join(display(path) for path in paths[:_SHOWN]) + (", …" if len(paths) > _SHOWN else "")
        return ConflictError(
            f"{place}: both here and in the VM changed: {shown}; nothing was touched",
            hint="banger vm workspace export <vm>    # brings what was done there",
        )
    if ended.status == _MOVED:
        return ConflictError(
            f"{place}: the VM has commits of its own, or staged changes, that are not part of what is here;"
            " nothing was touched",
            hint="banger vm workspace export <vm>    # brings what was done there; merge it, then prepare again",
        )
    error: GuestError = failure(ended, f"the guest could not bring the checkout at {place} up to date")
    return error
