"""Report on work while it runs, and let the work's own error through."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import anyio


@asynccontextmanager
async def alongside(report: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run `report` as long as the block runs. A lone error is raised as it is, not as a group of one."""
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(report)
            yield
            group.cancel_scope.cancel()
    except BaseExceptionGroup as error:
        raise _lone(error) from None


def _lone(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
