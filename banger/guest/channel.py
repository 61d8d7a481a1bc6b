"""Talk to the agent of one guest, over the socket that the VMM ties to its virtio-serial port."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from banger.guest import protocol
from banger.guest.conversation import AgentRefusalError, Conversation, deadline
from banger.guest.exec_session import WINDOW_BYTES, ExecSession
from banger.guest.port import HINT, Port
from banger.guest.protocol import GuestTime, Health, Identity, Nothing, Ports, Request, Started
from banger.model.errors import DeadlineError, GuestError
from banger.model.exec import ExecRequest

__all__ = ["AgentChannel", "AgentRefusalError"]

REQUEST_DEADLINE_S = 10.0
POWER_OFF_DEADLINE_S = 5.0
_LOOK_AGAIN_S = 0.05


class AgentChannel(Conversation):
    """A conversation with one agent. Many tasks may ask, and run programs, at once; close it, or use `async with`.

    A VMM serves one connection at a time: a second one waits, unheard, until the first is closed. So there is one for
    each VM, which banger.guest.agents shares out.
    Every method raises DeadlineError when its time is over, AgentRefusalError when the agent refuses, and GuestError
    when the guest went away or sends what is no answer.
    """

    @classmethod
    async def connect(cls, path: Path, *, deadline_s: float) -> Self:
        """Connect to the VMM's socket and wait until the guest's agent answers, also through the guest's boot."""
        with deadline(deadline_s, f"{path}: no answer from the guest agent"):
            channel = cls(await Port.connect(path))
            try:
                await channel.hello(deadline_s=deadline_s)
            except BaseException:
                await channel.aclose()
                raise
            return channel

    @classmethod
    async def from_socket(cls, connected: socket.socket, *, deadline_s: float) -> Self:
        """Take over a connected unix socket, and wait until the guest's agent answers."""
        channel = cls(await Port.from_socket(connected))
        try:
            await channel.hello(deadline_s=deadline_s)
        except BaseException:
            await channel.aclose()
            raise
        return channel

    async def __aenter__(self) -> Self:
        """Return self."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    async def healthz(self, *, deadline_s: float = REQUEST_DEADLINE_S) -> Health:
        """Ask how the guest is, and how far its boot has come."""
        return await self._ask(Request.HEALTHZ, b"", Health, deadline_s)

    async def ports(self, *, deadline_s: float = REQUEST_DEADLINE_S) -> Ports:
        """Ask which TCP ports listen in the guest."""
        return await self._ask(Request.PORTS, b"", Ports, deadline_s)

    async def get_time(self, *, deadline_s: float = REQUEST_DEADLINE_S) -> GuestTime:
        """Read the guest's clock."""
        return await self._ask(Request.TIME, b"", GuestTime, deadline_s)

    async def set_time(self, time_ns: int, *, deadline_s: float = REQUEST_DEADLINE_S) -> GuestTime:
        """Set the guest's clock (ns since 1970), and read it back."""
        return await self._ask(Request.SET_TIME, protocol.encode_time(time_ns), GuestTime, deadline_s)

    async def identity(self, identity: Identity, *, deadline_s: float = REQUEST_DEADLINE_S) -> None:
        """Say who the guest is; SSH starts, or goes on with the new keys, when this is done."""
        await self._ask(Request.IDENTITY, protocol.encode_identity(identity), Nothing, deadline_s)

    async def wait_ssh(self, *, deadline_s: float) -> None:
        """Return when the guest's port 22 listens."""
        try:
            # A little longer here: the agent's reason for being late is worth more than that it is late.
            await self._ask(Request.WAIT_SSH, protocol.encode_deadline(deadline_s), Nothing, deadline_s + 1)
        except AgentRefusalError as error:
            if error.reason == "deadline":
                raise DeadlineError(f"SSH is not ready after {deadline_s:g} s: {error.message}", hint=HINT) from error
            raise

    async def sync(self, *, deadline_s: float = REQUEST_DEADLINE_S) -> None:
        """Write everything to the guest's disks."""
        await self._ask(Request.SYNC, b"", Nothing, deadline_s)

    async def wait_network(self, *, deadline_s: float) -> None:
        """Return when the guest's boot is over. Raises GuestError if a step of it failed."""
        with deadline(deadline_s, "the guest's network is not up"):
            while True:
                health = await self.healthz()
                if health.failure:
                    raise GuestError(f"guest agent: {health.failure}", hint=HINT)
                if health.network_up:
                    return
                await anyio.sleep(_LOOK_AGAIN_S)

    async def freeze(self, *, deadline_s: float = REQUEST_DEADLINE_S) -> None:
        """Have a guest without identity write everything to its disks and drop its caches: it is about to be frozen."""
        await self._ask(Request.FREEZE, b"", Nothing, deadline_s)

    async def reseed(self, seed: bytes, *, deadline_s: float = REQUEST_DEADLINE_S) -> None:
        """Give the guest randomness of its own (32 to 512 bytes). Once this returns, its next random number has it."""
        await self._ask(Request.RESEED, protocol.encode_seed(seed), Nothing, deadline_s)

    async def shutdown(
        self, *, power_off_s: float = POWER_OFF_DEADLINE_S, deadline_s: float = REQUEST_DEADLINE_S
    ) -> None:
        """Ask the guest to power off; its programs have `power_off_s` to end. Returns once it has agreed."""
        await self._ask(Request.SHUTDOWN, protocol.encode_deadline(power_off_s), Nothing, deadline_s)

    async def exec(self, request: ExecRequest, *, deadline_s: float = REQUEST_DEADLINE_S) -> ExecSession:
        """Start a program. Use what is returned in `async with`. Raises SpecError if the request does not fit."""
        body = protocol.encode_exec(request, WINDOW_BYTES)
        number = next(number for number in self._numbers if number not in self._programs)
        session = ExecSession(self._port, number, self._leave)
        with deadline(deadline_s, "the guest agent does not start the program"):
            await self._greeted()
            self._programs[number] = session
            try:
                await self._ask_once(Request.EXEC_START, body, Started, number)
            except BaseException:
                session.close()
                raise
        return session
