"""`vm.freeze`: a VM as it is at one moment; it goes on. Others can be started from that."""

from pathlib import Path
from typing import ClassVar

import anyio.from_thread
import anyio.to_thread

from banger.host.packed import pack
from banger.model.errors import HostError
from banger.model.handles import FrozenVm
from banger.tasks import Context, Query
from banger.vm.disks import copy_overlay
from banger.vm.qemu_fork import freeze_running
from banger.vm.session import ROOT_FILE, WORK_FILE
from banger.vm.state_stream import split_state

_MIB = 1024 * 1024
_FREEZE_DEADLINE_S = 300.0


class FreezeVm(Query[FrozenVm], frozen=True, kw_only=True):
    """Never remembered: the next moment is another one. What is in the VM is in what this puts out, secrets and all."""

    kind: ClassVar[str] = "vm.freeze"
    version: ClassVar[int] = 1
    deadline_s: ClassVar[int] = 600
    vm: str
    memory_mib: int

    async def ask(self, ctx: Context) -> FrozenVm:
        """Freeze it. The guest stands still for as long as its memory and its disks are copied. Raises HostError."""
        directory = ctx.vm_dir(self.vm)
        stream, root, work = (ctx.scratch / name for name in ("stream", ROOT_FILE, "work"))

        async def copy_disks() -> None:
            await anyio.to_thread.run_sync(copy_overlay, directory / ROOT_FILE, root, anyio.from_thread.check_cancelled)
            await anyio.to_thread.run_sync(pack, directory / WORK_FILE, work, anyio.from_thread.check_cancelled)

        await freeze_running(directory, self.memory_mib, stream, copy_disks, deadline_s=_FREEZE_DEADLINE_S)
        return await anyio.to_thread.run_sync(self._keep, ctx, stream, root, work)

    def _keep(self, ctx: Context, stream: Path, root: Path, work: Path) -> FrozenVm:
        devices, memory = ctx.scratch / "devices", ctx.scratch / "memory"
        split_state(stream, devices, memory, self.memory_mib * _MIB)
        try:
            stream.unlink()
        except OSError as error:
            raise HostError(f"{stream}: {error.strerror}") from error
        frozen = FrozenVm(ctx.keep(memory), ctx.keep(devices), ctx.keep(root), ctx.keep(work))
        # QEMU opens memory for writing even where it maps it privately (until 8.2, which can be told not to).
        ctx.state.cas.let_write(frozen.memory.digest)
        return frozen
