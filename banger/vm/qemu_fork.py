"""Freeze a machine that runs, under QEMU, and let it go on: its memory, its devices and its disks at one moment."""

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from banger.host.qmp import QmpClient, connect_qmp
from banger.model.errors import BangerError, DeadlineError, HostError
from banger.vm import MONITOR_SOCKET
from banger.vm.qemu_template import IGNORE_SHARED, listener, receive, wait_migrated

_MIB = 1024 * 1024
_DEVICES_LIMIT_BYTES = 64 * _MIB
_UNLIMITED = {"max-bandwidth": 1 << 40}


async def freeze_running(
    vm_dir: Path, memory_mib: int, stream: Path, copy_disks: Callable[[], Awaitable[None]], *, deadline_s: float
) -> None:
    """Stop the guest, write its state to `stream`, have the disks copied, and let the guest go on, whatever happens.

    The state is QEMU's stream with the memory in it: `banger.vm.state_stream`. Raises HostError, DeadlineError.
    """
    async with connect_qmp(vm_dir / MONITOR_SOCKET) as client:
        try:
            with anyio.fail_after(deadline_s):
                await client.execute("stop")
                await client.execute("migrate-set-capabilities", IGNORE_SHARED)
                await client.execute("migrate-set-parameters", _UNLIMITED)
                await _write_state(client, vm_dir, stream, memory_mib * _MIB * 2 + _DEVICES_LIMIT_BYTES)
                await copy_disks()
        except TimeoutError as error:
            raise DeadlineError(f"{vm_dir.name}: not frozen after {deadline_s:g} s") from error
        finally:
            with anyio.CancelScope(shield=True):
                await _go_on(client)


async def _write_state(client: QmpClient, vm_dir: Path, stream: Path, limit_bytes: int) -> None:
    with listener(vm_dir) as (socket, name):
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(receive, socket, stream, limit_bytes)
                await client.execute("migrate", {"uri": f"unix:{name}"})
                await wait_migrated(client)
        except ExceptionGroup as both:  # one end of the stream fails with the other
            raise both.exceptions[0] from None


async def _go_on(client: QmpClient) -> None:
    with contextlib.suppress(BangerError):  # there may be nothing to cancel
        await client.execute("migrate_cancel")
    try:
        await client.execute("cont")
    except BangerError as error:
        raise HostError(f"after freezing, the guest does not go on: {error.message}") from error
