"""`guest.files`: what file_sync names is in the guest's home."""

import logging
import os
from contextlib import closing
from typing import ClassVar

import anyio
import anyio.to_thread

from banger.filesync import Copying
from banger.guest.exec_session import ExecSession, Exit, Output
from banger.host.pidfd import ProcessIdentity
from banger.model.action import Scope
from banger.model.config import ROOT_HOME, FileSync
from banger.model.errors import BangerError, GuestError, SpecError
from banger.model.exec import ExecRequest
from banger.model.handles import CopiedFiles, RunningVm
from banger.tasks import Context, Effect, Progress, Ref
from banger.vm import AGENT_SOCKET
from banger.vm.alive import while_alive

_SAID_BYTES = 2000
_WARNINGS_KEPT = 20
_NOT_FOUND = 127

log = logging.getLogger(__name__)


class CopyGuestFiles(Effect[CopiedFiles], frozen=True, kw_only=True):
    """Copied each time that the guest is started. Only names are parameters; what is in the files is nowhere else."""

    kind: ClassVar[str] = "guest.files"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    deadline_s: ClassVar[int] = 600
    vm: str
    entries: tuple[FileSync, ...]
    boot: Ref[RunningVm]
    identity: Ref[str]
    """By then the work disk, which is root's home, is mounted."""

    async def probe(self, ctx: Context, value: CopiedFiles) -> bool:
        """A guest that lives has them: `boot` is an input, so another boot is another action."""
        return True

    async def apply(self, ctx: Context) -> CopiedFiles:
        """Copy them. Raises SpecError, HostError or ConflictError for what cannot be read, GuestError from there."""
        home = os.environ.get("HOME", "")
        if not home.startswith("/"):
            raise SpecError("file_sync: HOME is not set, so there is no home to copy from")
        copying = Copying(self.entries, home)

        async def copy() -> None:
            agent = await ctx.agents.channel(ctx.vm_dir(self.vm) / AGENT_SOCKET, deadline_s=self.deadline_s)
            request = ExecRequest(("tar", "-x", "-p", "-f", "-", "-C", ROOT_HOME))
            async with await agent.exec(request) as session:
                await _send(session, copying, ctx)

        booted = ctx.value(self.boot)
        process = ProcessIdentity(booted.pid, booted.start_ticks, booted.boot_id)
        await while_alive(process, copy, ctx.vm_dir(self.vm))
        done = copying.done
        for warning in done.warnings:
            log.warning("%s", warning)
        return CopiedFiles(done.files, done.size_bytes, tuple(done.warnings[:_WARNINGS_KEPT]), len(done.warnings))

    async def undo(self, ctx: Context, value: CopiedFiles | None) -> None:
        """They go with the work disk: until the VM is deleted, they are the user's."""


async def _send(session: ExecSession, copying: Copying, ctx: Context) -> None:
    """Feed tar and hear how it ends, whichever of the two ends first."""
    failures: list[BangerError] = []
    said = bytearray()
    async with anyio.create_task_group() as group:

        async def feed() -> None:
            try:
                await _feed(session, copying, ctx)
            except BangerError as error:
                failures.append(error)
                group.cancel_scope.cancel()

        group.start_soon(feed)
        try:
            while not isinstance(happening := await session.receive(), Exit):
                if isinstance(happening, Output) and len(said) < _SAID_BYTES:
                    said += happening.data
            _check(happening.status, bytes(said[:_SAID_BYTES]))
        except BangerError as error:
            failures.append(error)
        group.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _feed(session: ExecSession, copying: Copying, ctx: Context) -> None:
    with closing(copying.pieces()) as pieces:
        # In a thread: files are read there, which may take its time.
        while (piece := await anyio.to_thread.run_sync(next, pieces, None)) is not None:
            await session.send(piece)
            ctx.report(Progress(copying.done.size_bytes, None))
    await session.send_eof()


def _check(status: int, said: bytes) -> None:
    if status == _NOT_FOUND:
        raise GuestError(
            "file_sync: the guest has no tar, which the files are unpacked with", hint="banger config show"
        )
    if status:
        words = " ".join(said.decode(errors="replace").split()) or f"tar ended with {status}"
        raise GuestError(f"file_sync: the guest cannot take the files: {words}", hint="banger vm logs <vm>")
