"""The one connection to each guest's agent, shared by all who have something to ask or to run."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from banger.guest.channel import AgentChannel
from banger.guest.port import HINT
from banger.model.errors import DeadlineError


class Agents:
    """Connections by socket. A VMM serves one at a time, so nobody else may connect while this has one.

    A connection is made when it is first wanted, and stays until its VMM ends: a program starts without a handshake.
    """

    def __init__(self) -> None:
        self._open: dict[Path, AgentChannel] = {}
        self._locks: dict[Path, anyio.Lock] = {}

    async def channel(self, path: Path, *, deadline_s: float) -> AgentChannel:
        """Return the conversation with the agent behind a VMM's socket, begun if need be; not to be closed.

        Raises DeadlineError if the agent does not answer in time, GuestError if the guest goes away meanwhile.
        """
        lock = self._locks.setdefault(path, anyio.Lock())
        try:
            with anyio.fail_after(deadline_s):
                async with lock:
                    channel = self._open.get(path)
                    if channel is None or not channel.is_open:
                        channel = self._open[path] = await AgentChannel.connect(path, deadline_s=deadline_s)
                    return channel
        except TimeoutError as error:
            raise DeadlineError(f"{path}: no answer from the guest agent after {deadline_s:g} s", hint=HINT) from error
        finally:
            self._forget_ended()

    async def aclose(self) -> None:
        """Close all: what was run for us is killed."""
        for channel in self._open.values():
            await channel.aclose()
        self._open.clear()

    def _forget_ended(self) -> None:
        for path in [path for path, channel in self._open.items() if not channel.is_open]:
            del self._open[path]
        for path in [path for path, lock in self._locks.items() if path not in self._open]:
            if not self._locks[path].statistics().locked:
                del self._locks[path]


@contextlib.asynccontextmanager
async def open_agents() -> AsyncIterator[Agents]:
    """Have connections, and close them at the end."""
    agents = Agents()
    try:
        yield agents
    finally:
        await agents.aclose()
