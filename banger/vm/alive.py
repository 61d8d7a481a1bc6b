"""Wait for a guest, but not beyond the life of its VMM: a boot that died is an error now, not at a deadline."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio

from banger.host.pidfd import ProcessIdentity, open_process
from banger.model.errors import GuestError
from banger.vm import CONSOLE_LOG
from banger.vm.console import tail

_T = TypeVar("_T")
_TAIL_BYTES = 2000
_FOR_EVER_S = 1e9


async def while_alive(process: ProcessIdentity, work: Callable[[], Awaitable[_T]], vm_dir: Path) -> _T:
    """Return what `work` returns. Raises GuestError, with the end of the console, if the VMM ends before that."""
    results: list[_T] = []
    ended = False

    async def watch(scope: anyio.CancelScope) -> None:
        nonlocal ended
        with open_process(process) as held:
            if held is not None:
                await held.wait(_FOR_EVER_S)
        ended = True
        scope.cancel()

    async def run(scope: anyio.CancelScope) -> None:
        results.append(await work())
        scope.cancel()

    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(watch, group.cancel_scope)
            group.start_soon(run, group.cancel_scope)
    except BaseExceptionGroup as group_error:
        failure = group_error.exceptions[0]
    if results:
        return results[0]
    if failure is not None and not ended:
        raise failure
    raise GuestError(_message(vm_dir), hint="banger vm logs <vm>") from failure


def _message(vm_dir: Path) -> str:
    text = tail(vm_dir / CONSOLE_LOG, _TAIL_BYTES).decode(errors="replace")
    shown = "".join(char for char in text if char.isprintable() or char == "\n")
    said = f"; the last that it printed:\n{shown.strip()}" if shown.strip() else " and it printed nothing"
    return f"the VM ended before it was ready{said}"
