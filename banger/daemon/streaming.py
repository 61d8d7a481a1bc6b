"""An NDJSON response that notices at once when its client goes away."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class NdjsonResponse(Response):
    """Send lines as they come. When the client disconnects the source is closed, even if it has nothing to say.

    Starlette's StreamingResponse learns of a disconnect by polling or by a failing send, depending on the server.
    """

    media_type = "application/x-ndjson"

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        super().__init__()
        del self.headers["content-length"]
        # An async generator function returns one, whatever its annotation says; closing it runs its `finally`.
        self._source = cast("AsyncGenerator[bytes, None]", source)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def wait_for_disconnect() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(wait_for_disconnect)
            async with aclosing(self._source) as source:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                async for line in source:
                    await send({"type": "http.response.body", "body": line, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            group.cancel_scope.cancel()
