"""Send a checkout to a guest and have it rebuilt there: all of it, or nothing."""

import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import anyio.to_thread

from banger.model.errors import GuestError
from banger.workspace.archive import SCRIPT, write_archive
from banger.workspace.bundle import write_bundle
from banger.workspace.values import Workspace

GUEST_REPOSITORY = "/root/repo"
_BLOCK_BYTES = 256 * 1024
_SHOWN_BYTES = 1000

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
trap 'exit 1' HUP INT TERM
mkdir -m 700 "$3"
cd "$3"
tar --extract --file=- --touch --no-same-owner
sh {SCRIPT.name} "$2"
"""


class Ended(Protocol):
    """A command that has ended in the guest; `status` is None if a signal ended it."""

    @property
    def status(self) -> int | None: ...

    @property
    def stderr(self) -> bytes: ...


RunInGuest = Callable[[str, AsyncIterator[bytes]], Awaitable[Ended]]
"""Runs a shell command as the user whose checkout it becomes, and feeds it a stream."""

Report = Callable[[int, int], None]
"""Called with bytes sent and bytes in all, about."""


async def sync_workspace(
    workspace: Workspace,
    run_in_guest: RunInGuest,
    *,
    scratch: Path,
    place: str = GUEST_REPOSITORY,
    report: Report = lambda _sent, _total: None,
) -> None:
    """Put the checkout at `place` in the guest. `scratch` is a directory of ours, for the history.

    It appears there whole, by one rename; if what is there came from an equal checkout, it is left as it is, edited or
    not. Raises ConflictError if the checkout changes meanwhile, GuestError that quotes the guest if it cannot, and
    what `inspect_repository` and `run_in_guest` raise.
    """
    bundle = scratch / "bundle" if workspace.base is not None else None
    if bundle is not None:
        await write_bundle(workspace, bundle)
    total = sum(file.size for file in workspace.overlay) + (bundle.stat().st_size if bundle else 0)
    folder, _, name = place.rpartition("/")
    words = ["sh", "-c", _RECEIVE, "sh", workspace.digest, place, f"{folder}/.{name}.incoming"]
    with closing(write_archive(workspace, bundle)) as chunks:
        ended = await run_in_guest(shlex.join(words), _send(chunks, total, report))
    if ended.status != 0:
        raise _failure(ended, place)


async def _send(chunks: Iterator[bytes], total: int, report: Report) -> AsyncIterator[bytes]:
    """Yield the chunks, read in a thread, so many at a time that the way there does not count."""
    sent = 0
    while block := await anyio.to_thread.run_sync(_gather, chunks):
        yield block
        sent += len(block)
        report(min(sent, total), total)


def _gather(chunks: Iterator[bytes]) -> bytes:
    block = bytearray()
    for chunk in chunks:
        block += chunk
        if len(block) >= _BLOCK_BYTES:
            break
    return bytes(block)


def _failure(ended: Ended, place: str) -> GuestError:
    text = ended.stderr[-_SHOWN_BYTES:].decode(errors="replace").strip()
    said = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    how = "a signal ended it" if ended.status is None else f"exit status {ended.status}"
    return GuestError(f"the guest could not make the checkout at {place}: {how}" + (f":\n{said}" if said else ""))
