"""Ask a guest's kernel for its load and memory, through a program that its agent runs."""

import re

import anyio

from banger.guest.channel import AgentChannel
from banger.guest.exec_session import Exit, Output
from banger.model.errors import DeadlineError, GuestError
from banger.model.exec import ExecRequest
from banger.model.verbs import GuestUseView

_DEADLINE_S = 5.0
_SAID_MOST_BYTES = 16384
_KIB = 1024
_LARGEST = 1 << 62
_LOAD = re.compile(rb"\A(\d{1,9}\.\d{1,4}) (\d{1,9}\.\d{1,4}) (\d{1,9}\.\d{1,4}) ")
_MEMORY = re.compile(rb"^(MemTotal|MemAvailable): +(\d{1,15}) kB$", re.MULTILINE)


async def ask_load(agent: AgentChannel) -> GuestUseView:
    """Read /proc/loadavg and /proc/meminfo of the guest (proc(5)). Raises GuestError for what is neither."""
    try:
        with anyio.fail_after(_DEADLINE_S):
            said = await _read(agent, ExecRequest(("cat", "/proc/loadavg", "/proc/meminfo"), cwd="/"))
    except TimeoutError as error:
        raise DeadlineError(f"no answer within {_DEADLINE_S:g} s") from error
    return parse_load(said)


def parse_load(said: bytes) -> GuestUseView:
    """Read what a guest says: it may say anything. Raises GuestError."""
    load, memory = _LOAD.match(said), dict(_MEMORY.findall(said))
    if load is None or len(memory) != len((b"MemTotal", b"MemAvailable")):
        raise GuestError("its /proc/loadavg and /proc/meminfo are not understood")
    total, available = (min(int(memory[name]) * _KIB, _LARGEST) for name in (b"MemTotal", b"MemAvailable"))
    return GuestUseView([float(one) for one in load.groups()], total, available)


async def _read(agent: AgentChannel, request: ExecRequest) -> bytes:
    said = bytearray()
    async with await agent.exec(request) as session:
        await session.send_eof()
        while not isinstance(happening := await session.receive(), Exit):
            if isinstance(happening, Output) and not happening.is_error:
                said += happening.data
            if len(said) > _SAID_MOST_BYTES:
                raise GuestError(f"it says more than {_SAID_MOST_BYTES} bytes")
    return bytes(said)
