"""How a checkout's guest is spoken to, whoever runs the commands there; and what of its answers is believed:
nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import anyio.to_thread

from banger.model.errors import GuestError

GUEST_REPOSITORY = "/root/repo"
_BLOCK_BYTES = 256 * 1024
_SHOWN_BYTES = 1000


class Ended(Protocol):
    """A program that has ended in the guest."""

    @property
    def status(self) -> int: ...

    @property
    def stdout(self) -> bytes: ...

    @property
    def stderr(self) -> bytes: ...


RunInGuest = Callable[[Sequence[str], AsyncIterator[bytes]], Awaitable[Ended]]
"""Runs a program as the user whose checkout it is, and feeds it a stream. The words arrive as they are."""

Report = Callable[[int, int], None]
"""Called with bytes sent and bytes in all, about."""


def no_report(_sent: int, _total: int) -> None:
    """Nobody wants to know."""


async def send(chunks: Iterator[bytes], total: int = 0, report: Report = no_report) -> AsyncIterator[bytes]:
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


def failure(ended: Ended, what: str) -> GuestError:
    """Return the error for a program that failed, with what it said, harmless for a terminal."""
    text = ended.stderr[-_SHOWN_BYTES:].decode(errors="replace").strip()
    said = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    return GuestError(f"{what}: exit status {ended.status}" + (f":\n{said}" if said else ""))
