"""See whether something that listens speaks HTTP, over TLS or in the clear. It may be hostile: little of it is read."""

import ssl
from typing import Final, Literal

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.tls import TLSStream

_DEADLINE_S: Final = 1.5
_REQUEST: Final = b"HEAD / HTTP/1.0\r\nHost: localhost\r\nUser-Agent: banger\r\n\r\n"
_GREETING: Final = b"HTTP/"


async def web_protocol(host: str, port: int) -> Literal["http", "https"] | None:
    """Say which it speaks; None for neither. TLS first: many of its servers answer bad cleartext with an HTTP error."""
    if await _speaks(host, port, over_tls=True):
        return "https"
    return "http" if await _speaks(host, port, over_tls=False) else None


async def _speaks(host: str, port: int, *, over_tls: bool) -> bool:
    with anyio.move_on_after(_DEADLINE_S):
        try:
            async with await anyio.connect_tcp(host, port) as plain:
                if not over_tls:
                    return await _greets(plain, plain)
                # Nothing is trusted and nothing told: this asks only what is spoken.
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                tls = await TLSStream.wrap(plain, server_side=False, ssl_context=context, standard_compatible=False)
                return await _greets(tls, tls)
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return False
    return False


async def _greets(reader: ByteReceiveStream, writer: ByteSendStream) -> bool:
    await writer.send(_REQUEST)
    said = b""
    while len(said) < len(_GREETING):
        said += await reader.receive(64)
    return said.startswith(_GREETING)
