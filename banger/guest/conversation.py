"""The conversation with one guest's agent: who asked what, which program gets what, and how it begins again.

Nothing here waits without a deadline, and nothing polls: a HELLO that is sent while the guest boots lies in the socket
until the agent opens its port.
"""

import contextlib
import itertools
import secrets
from collections.abc import Iterator

import anyio
import anyio.lowlevel

from banger.guest import protocol
from banger.guest.exec_session import ExecSession
from banger.guest.frames import PROTOCOL_VERSION, Frame
from banger.guest.port import HINT, Port
from banger.guest.protocol import AnswerT, Event, Refusal, Request, Welcome
from banger.model.errors import DeadlineError, GuestError

# An agent that died and was started again has lost what was sent to it.
_HELLO_AGAIN_S = 1.0
_CHANNELS = 65535
# A guest's agent sends nothing unasked: more than its last host may have left unread is an attack on our time.
_UNASKED_LARGEST_BYTES = 4 * 1024 * 1024


class AgentRefusalError(GuestError):
    """The agent understood and refused; `reason` is the code of docs/guest-protocol.md."""

    def __init__(self, reason: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class _RestartedError(GuestError):
    """The agent is another one than was spoken to: it knows nothing of what was asked."""


class _Waiter:
    """Who waits for an answer."""

    def __init__(self) -> None:
        self.came = anyio.Event()
        self.frame: Frame | None = None
        self.failure: GuestError | None = None


class Conversation:
    """What AgentChannel is made of: it adds the requests."""

    def __init__(self, port: Port) -> None:
        """Take a connection; `hello` comes first."""
        self._port = port
        self._requests = itertools.count(1)
        self._numbers = itertools.cycle(range(1, _CHANNELS + 1))
        self._waiters: dict[int, _Waiter] = {}
        self._programs: dict[int, ExecSession] = {}
        self._nonce = ""
        self._greeting = anyio.Lock()
        self._welcomed = anyio.Event()
        self._failure: GuestError | None = None
        self._unasked_bytes = 0
        self.welcome: Welcome | None = None
        port.on_frames = self._take
        port.on_end = self._end

    async def aclose(self) -> None:
        """Close the connection; the agent forgets what was asked, and ends what it runs for us."""
        self._port.close()
        await anyio.lowlevel.checkpoint()

    @property
    def is_open(self) -> bool:
        """Whether the connection is there; it is gone for good when the VMM has ended, or the guest said nonsense."""
        return self._failure is None and not self._port.closed

    async def hello(self, *, deadline_s: float) -> Welcome:
        """Begin the conversation: the agent forgets the host before us, and we drop what it said to that host.

        Once more, it begins again with an agent that was started again.
        """
        with deadline(deadline_s, "the guest agent does not answer"):
            async with self._greeting:
                return await self._greet()

    async def _greet(self) -> Welcome:
        nonce = secrets.token_bytes(protocol.NONCE_BYTES)
        self._begin_again(nonce.hex())
        frame = Frame(Request.HELLO, next(self._requests), protocol.encode_fields({protocol.Tag.NONCE: nonce}))
        while not self._welcomed.is_set():
            await self._port.send(frame)
            with anyio.move_on_after(_HELLO_AGAIN_S):
                await self._welcomed.wait()
        self._check()
        assert self.welcome is not None
        if self.welcome.protocol != PROTOCOL_VERSION:
            raise GuestError(
                f"guest agent {self.welcome.version} speaks protocol {self.welcome.protocol}, not {PROTOCOL_VERSION}",
                hint="banger vm stop <vm> && banger vm start <vm>",
            )
        return self.welcome

    def _begin_again(self, nonce: str) -> None:
        self.welcome, self._nonce, self._welcomed = None, nonce, anyio.Event()
        self._lose(_RestartedError("the conversation with the guest agent began again"))

    def _leave(self, number: int) -> None:
        self._programs.pop(number, None)

    async def _ask(self, kind: Request, body: bytes, answer: type[AnswerT], deadline_s: float) -> AnswerT:
        """Ask what may be asked twice: an agent that was started again meanwhile is asked again."""
        with deadline(deadline_s, f"the guest agent does not answer {kind.name.lower()}"):
            while True:
                await self._greeted()
                try:
                    return await self._ask_once(kind, body, answer)
                except _RestartedError:
                    self.welcome = None

    async def _greeted(self) -> None:
        if self.welcome is None:
            async with self._greeting:
                if self.welcome is None:
                    await self._greet()

    async def _ask_once(self, kind: Request, body: bytes, answer: type[AnswerT], channel: int = 0) -> AnswerT:
        request = next(self._requests)
        waiter = self._waiters[request] = _Waiter()
        try:
            self._check()
            await self._port.send(Frame(kind, request, body, channel))
            await waiter.came.wait()
        finally:
            del self._waiters[request]
        if waiter.failure is not None or waiter.frame is None:
            raise waiter.failure or GuestError("guest agent: no answer")
        if waiter.frame.type == protocol.ERROR_TYPE:
            raise _refusal(waiter.frame)
        if waiter.frame.type != kind | protocol.REPLY_BIT:
            raise GuestError(f"guest agent: it answers {kind.name.lower()} with a frame of type {waiter.frame.type}")
        return protocol.decode_answer(waiter.frame.body, answer)

    def _take(self, frames: list[Frame], size: int) -> None:
        """Give what came to who waits for it."""
        self._unasked_bytes += size
        try:
            for frame in frames:
                if self._dispatch(frame):
                    self._unasked_bytes = 0
        except GuestError as error:
            self._fail(error)
        if self._unasked_bytes > _UNASKED_LARGEST_BYTES:
            self._fail(GuestError(f"guest agent: it sent {self._unasked_bytes} bytes that are no answer"))

    def _dispatch(self, frame: Frame) -> bool:
        """Hand on one frame; return whether anybody wanted it. Raises GuestError for what cannot be."""
        if self.welcome is None:
            return self._dispatch_welcome(frame)
        if frame.request in self._waiters:
            waiter = self._waiters[frame.request]
            waiter.frame = waiter.frame or frame
            waiter.came.set()
            return True
        if frame.type == Event.STARTED:
            self.welcome = None
            self._lose(_RestartedError("the guest agent was started again: what it ran has ended"))
            return False
        if frame.channel not in self._programs:
            return False
        if frame.type == protocol.ERROR_TYPE:
            self._programs[frame.channel].fail(_refusal(frame))
        else:
            self._programs[frame.channel].take(frame)
        return True

    def _dispatch_welcome(self, frame: Frame) -> bool:
        if frame.type != Request.HELLO | protocol.REPLY_BIT:
            return False
        welcome = protocol.decode_answer(frame.body, Welcome)
        if welcome.nonce != self._nonce:
            return False
        self.welcome = welcome
        self._welcomed.set()
        return True

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _end(self) -> None:
        self._fail(GuestError("the guest's VMM closed the connection to the guest agent", hint=HINT))

    def _fail(self, error: GuestError) -> None:
        """Nothing can be said any more: tell all who wait."""
        self._failure = self._failure or error
        self._welcomed.set()
        self._lose(self._failure)
        self._port.close()

    def _lose(self, error: GuestError) -> None:
        for waiter in self._waiters.values():
            waiter.failure = waiter.failure or error
            waiter.came.set()
        for session in self._programs.values():
            session.fail(error)


def _refusal(frame: Frame) -> GuestError:
    refusal = protocol.decode_answer(frame.body, Refusal)
    if refusal.code == "no_hello":
        return _RestartedError(f"guest agent: {refusal.message}", hint=HINT)
    return AgentRefusalError(refusal.code, f"guest agent: {refusal.message}", hint=HINT)


@contextlib.contextmanager
def deadline(deadline_s: float, what: str) -> Iterator[None]:
    """Turn a wait that is too long into DeadlineError."""
    try:
        with anyio.fail_after(deadline_s):
            yield
    except TimeoutError as error:
        raise DeadlineError(f"{what} after {deadline_s:g} s", hint=HINT) from error
