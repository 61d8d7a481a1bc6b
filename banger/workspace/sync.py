"""Send a whole checkout to a guest that has none, and have it rebuilt there: all of it, or nothing."""

from contextlib import closing
from pathlib import Path

from banger.workspace.archive import SCRIPT, write_archive
from banger.workspace.bundle import write_bundle
from banger.workspace.guest import GUEST_REPOSITORY, Report, RunInGuest, failure, no_report, send
from banger.workspace.values import Workspace

# $1: digest; $2: the place; $3: where to unpack, beside it. If the place holds what is to be sent, nothing is read.
# The script is the archive's last file: if the stream breaks off, it is not there, and what was unpacked goes.
_RECEIVE = f"""
set -eu
umask 022
if [ -e "$2/.git/banger-workspace" ]; then
  read -r digest <"$2/.git/banger-workspace"
  [ "$digest" != "$1" ] || exit 0
fi
[ ! -e "$3" ] || rm -rf "$3"
trap 'rm -rf "$3"' EXIT
trap 'rm -rf "$3"; exit 1' HUP INT TERM
mkdir -m 700 "$3"
cd "$3"
tar --extract --file=- --touch --no-same-owner
sh {SCRIPT.name} "$2" "${{4-}}"
"""


async def sync_workspace(
    workspace: Workspace,
    run_in_guest: RunInGuest,
    *,
    scratch: Path,
    program: Path,
    place: str = GUEST_REPOSITORY,
    replace: bool = False,
    report: Report = no_report,
) -> None:
    """Put the checkout at `place` in the guest. `scratch` is a directory of ours, for the history; `program` the one
    that will keep it up to date.

    It appears there whole, by one rename; if what is there came from an equal checkout, it is left as it is, edited or
    not. With `replace` whatever is there is put aside first, under its name and a number. Raises ConflictError if the
    checkout changes meanwhile, GuestError that quotes the guest if it cannot, and what `inspect_repository` and
    `run_in_guest` raise.
    """
    bundles: list[Path | None] = []
    for number, part in enumerate((workspace, *all_parts(workspace))):
        bundle = scratch / f"bundle{number}" if part.base is not None else None
        if bundle is not None:
            await write_bundle(part, bundle)
        bundles.append(bundle)
    total = sum(file.size for part in (workspace, *all_parts(workspace)) for file in part.overlay)
    total += sum(bundle.stat().st_size for bundle in bundles if bundle)
    folder, _, name = place.rpartition("/")
    digest = "replace" if replace else workspace.digest
    words = ["sh", "-c", _RECEIVE, "sh", digest, place, f"{folder}/.{name}.incoming", "replace" if replace else ""]
    with closing(write_archive(workspace, bundles, program)) as chunks:
        ended = await run_in_guest(words, send(chunks, total, report))
    if ended.status != 0:
        raise failure(ended, f"the guest could not make the checkout at {place}")


def all_parts(workspace: Workspace) -> tuple[Workspace, ...]:
    """Every submodule that travels along, and theirs, in the order in which `archive` writes them."""
    return tuple(inner for _, part in workspace.parts for inner in (part, *all_parts(part)))
