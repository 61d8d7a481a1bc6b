"""Run one program in a guest to its end, through the agent: a stream in, the output to a sink, its status out."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from banger.guest.channel import AgentChannel
from banger.guest.exec_session import CHUNK_BYTES, ExecSession, Exit, Output
from banger.model.errors import BangerError, DeadlineError, GuestError
from banger.model.exec import ExecRequest

OUTPUT_LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended; `status` as a shell tells it (128 + n: ended by signal n).

    `stdout` is empty if it went to a sink. Of both streams the beginning is kept, as far as OUTPUT_LIMIT_BYTES.
    """

    status: int
    stdout: bytes
    stderr: bytes


Sink = Callable[[bytes], None]
"""Takes output as it comes, and may raise to have the program ended."""


async def run_program(
    agent: AgentChannel,
    request: ExecRequest,
    stdin: AsyncIterator[bytes] | None = None,
    *,
    deadline_s: float,
    sink: Sink | None = None,
) -> Ended:
    """Run it, feeding it `stdin`. However this ends, the program has been told to end.

    Raises what the stream and the sink raise, GuestError if the guest goes away, DeadlineError after `deadline_s`.
    """
    try:
        with anyio.fail_after(deadline_s):
            async with await agent.exec(request) as session:
                return await _talk(session, stdin, sink)
    except TimeoutError as error:
        raise DeadlineError(f"the guest did not finish within {deadline_s:g} s", hint="banger vm logs <vm>") from error
    except BaseExceptionGroup as errors:
        for one in errors.exceptions:  # what the stream, the sink or the session raised
            if isinstance(one, BangerError | OSError):
                raise one from None
        raise


async def _talk(session: ExecSession, stdin: AsyncIterator[bytes] | None, sink: Sink | None) -> Ended:
    kept = {False: bytearray(), True: bytearray()}
    status = 0
    async with anyio.create_task_group() as group:
        group.start_soon(_feed, session, stdin)
        happening = await session.receive()
        while not isinstance(happening, Exit):
            if isinstance(happening, Output) and sink is not None and not happening.is_error:
                sink(happening.data)
            elif isinstance(happening, Output):
                into = kept[happening.is_error]
                into += happening.data[: OUTPUT_LIMIT_BYTES - len(into)]
            happening = await session.receive()
        status = happening.status
        group.cancel_scope.cancel()  # what it has not read by now, it never will
    return Ended(status, bytes(kept[False]), bytes(kept[True]))


async def _feed(session: ExecSession, stdin: AsyncIterator[bytes] | None) -> None:
    if stdin is not None:
        async for data in stdin:
            await anyio.lowlevel.checkpoint()  # a program that has ended takes everything at once
            for at in range(0, len(data), CHUNK_BYTES):
                await session.send(data[at : at + CHUNK_BYTES])
    with suppress(GuestError):  # then the receiving side says why
        await session.send_eof()
