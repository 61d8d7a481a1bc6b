"""Freeze a machine under QEMU and start others from it: memory in a file, the rest by QEMU's migration to a file.

A template's memory is mapped shared, so that QEMU need not write it; a clone maps the same file privately, so that all
clones share the pages that none of them has written, in the page cache. The capability ``x-ignore-shared`` leaves the
memory out of the migrated state on both sides (QEMU docs/devel/migration, "Ignore shared").
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import anyio.to_thread

from banger.host.pidfd import ProcessIdentity, open_process
from banger.host.qmp import QmpClient, connect_qmp
from banger.model.errors import DeadlineError, HostError, TemplateError, TransientError
from banger.vm import MONITOR_SOCKET, Accelerator, Machine
from banger.vm.argv import qemu_argv
from banger.vm.qemu import Qemu
from banger.vm.session import NO_HOST, template_machine
from banger.vm.sparse import punch_zero_pages
from banger.vm.stop import kill
from banger.vm.template import FrozenFiles, MemoryFile, MemoryUse

_SOCKET = "freeze.sock"
_STATE_LIMIT_BYTES = 64 * 1024 * 1024
_ASK_AGAIN_S = 0.002
_CHUNK_BYTES = 1024 * 1024
_VARIANTS = ((Accelerator.KVM, None), (Accelerator.TCG, 1_000_000), (Accelerator.TCG, None))
"""Accelerators, and whether the time stamp counter's rate is known: each has a command line of its own."""
IGNORE_SHARED = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}


class QemuTemplates:
    """The TemplateVmm of QEMU."""

    def __init__(self, qemu: Qemu) -> None:
        self._qemu = qemu

    def command_lines(self, *, vcpus: int, memory_mib: int) -> tuple[tuple[str, ...], ...]:
        """Return the command lines of template and clone, for each accelerator, as it is not known yet which."""
        nowhere = Path("/")
        lines = []
        for accelerator, tsc_khz in _VARIANTS:
            machine = template_machine(
                NO_HOST, vcpus=vcpus, memory_mib=memory_mib, accelerator=accelerator, tsc_khz=tsc_khz
            )
            lines += [qemu_argv(machine, nowhere, MemoryFile(nowhere, use)) for use in MemoryUse]
        return tuple(lines)

    async def launch_to_freeze(self, machine: Machine, memory: Path, *, deadline_s: float) -> ProcessIdentity:
        """Boot a machine whose memory is in a file, at low priority."""
        use = MemoryFile(memory, MemoryUse.FREEZE)
        return await self._qemu.launch(machine, deadline_s=deadline_s, memory=use)

    async def freeze(self, machine: Machine, process: ProcessIdentity, devices: Path, *, deadline_s: float) -> None:
        """Stop the guest, write the state of its devices to a file, end QEMU, and take the zeroes out of its memory."""
        try:
            with anyio.fail_after(deadline_s), listener(machine.vm_dir) as (socket_, name):
                async with connect_qmp(machine.vm_dir / MONITOR_SOCKET) as client:
                    await client.execute("stop")
                    await client.execute("migrate-set-capabilities", IGNORE_SHARED)
                    async with anyio.create_task_group() as group:
                        group.start_soon(receive, socket_, devices)
                        await client.execute("migrate", {"uri": f"unix:{name}"})
                        await wait_migrated(client)
                    await client.execute("quit")
                with open_process(process) as held:
                    if held is not None:
                        await held.wait(deadline_s)
        except TimeoutError as error:
            raise DeadlineError(f"VM {machine.vm_id}: not frozen after {deadline_s:g} s") from error

    async def restore(
        self, machine: Machine, frozen: FrozenFiles, *, replaced: Sequence[str], deadline_s: float
    ) -> ProcessIdentity:
        """Start QEMU with a private copy of the memory, load the state of its devices, and let the guest go on."""
        try:
            devices = os.open(frozen.devices, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TemplateError(f"{frozen.devices}: {error.strerror}") from error
        try:
            process = await self._launch(machine, frozen.memory, devices, deadline_s)
            try:
                with anyio.fail_after(deadline_s):
                    await _load(machine, devices, replaced)
            except BaseException as error:
                with anyio.CancelScope(shield=True):
                    await kill(process)
                if isinstance(error, HostError | TimeoutError):
                    raise TemplateError(f"VM {machine.vm_id}: QEMU does not take the frozen state: {error}") from error
                raise
        finally:
            os.close(devices)
        return process

    async def _launch(self, machine: Machine, memory: Path, devices: int, deadline_s: float) -> ProcessIdentity:
        use = MemoryFile(memory, MemoryUse.RESTORE)
        try:
            return await self._qemu.launch(machine, deadline_s=deadline_s, memory=use, descriptors=(devices,))
        except TransientError:
            raise
        except HostError as error:
            raise TemplateError(error.message) from error


async def finish_memory(memory: Path) -> None:
    """Take pages of zeroes out of a frozen machine's memory file."""
    await anyio.to_thread.run_sync(punch_zero_pages, memory)


async def _load(machine: Machine, devices: int, replaced: Sequence[str]) -> None:
    async with connect_qmp(machine.vm_dir / MONITOR_SOCKET) as client:
        await client.execute("migrate-set-capabilities", IGNORE_SHARED)
        await client.execute("migrate-incoming", {"uri": f"fd:{devices}"})
        status = await _wait_loaded(client)
        if status not in {"paused", "postmigrate"}:
            raise HostError(f"after loading it is {status}")
        for disk in machine.disks:
            if disk.serial in replaced:
                # The size is right already; to set it raises the interrupt by which the guest learns of it.
                await client.execute("block_resize", {"node-name": disk.serial, "size": disk.size_bytes})
        await client.execute("cont")


async def _wait_loaded(client: QmpClient) -> object:
    while True:
        answer = await client.execute("query-status")
        status = answer.get("status") if isinstance(answer, dict) else None
        if status != "inmigrate":
            return status
        await anyio.sleep(_ASK_AGAIN_S)


async def wait_migrated(client: QmpClient) -> None:
    """Return when QEMU has written its state. Raises HostError if it cannot."""
    while True:
        answer = await client.execute("query-migrate")
        status = answer.get("status") if isinstance(answer, dict) else None
        if status == "completed":
            return
        if status in {"failed", "cancelled"}:
            raise HostError(f"QEMU did not write its state: {status}")
        await anyio.sleep(_ASK_AGAIN_S)


@contextlib.contextmanager
def listener(directory: Path) -> Iterator[tuple[socket.socket, str]]:
    """Listen in a directory, through its descriptor: a path has 107 bytes at most. Gives the name there, too."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    server = socket.socket(socket.AF_UNIX)
    try:
        server.setblocking(False)
        server.bind(f"/proc/self/fd/{folder}/{_SOCKET}")
        server.listen(1)
        yield server, _SOCKET
    finally:
        server.close()
        os.close(folder)
        (directory / _SOCKET).unlink(missing_ok=True)


async def receive(server: socket.socket, into: Path, limit_bytes: int = _STATE_LIMIT_BYTES) -> None:
    """Take the one connection that comes, and write what it sends to a new file. Raises HostError if it is too much."""
    await anyio.wait_readable(server)
    connection, _ = server.accept()
    size = 0
    with connection, into.open("xb") as file:
        connection.setblocking(False)
        while True:
            await anyio.wait_readable(connection)
            chunk = connection.recv(_CHUNK_BYTES)
            if not chunk:
                return
            size += len(chunk)
            if size > limit_bytes:
                raise HostError(f"QEMU's state is larger than {limit_bytes} bytes")
            file.write(chunk)
