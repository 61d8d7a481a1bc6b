"""`workspace.sync`: the user's git checkout, at /root/repo in the guest."""

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

import msgspec

from banger.guest.programs import place_path
from banger.guest.run import Ended, run_program
from banger.model.action import Needs, Scope
from banger.model.exec import ExecRequest
from banger.model.handles import Checkout
from banger.model.vm import WorkspaceRequest
from banger.tasks import Context, Effect, Progress, Ref
from banger.vm import AGENT_SOCKET
from banger.workspace.prepare import prepare_workspace
from banger.workspace.update import Way

_AGENT_DEADLINE_S = 10.0
_DEADLINE_S = 1800


class SyncWorkspace(Effect[Checkout], frozen=True, kw_only=True):
    """Done when the VM is made, and again each time that the user says so. The lease goes with the session; the
    checkout stays, on the work disk, and the record of what was sent in the VM's directory.

    What is sent is what is there now: the user may have saved a file since `workspace.inspect`, while an image was
    made. The value says what was sent.
    """

    kind: ClassVar[str] = "workspace.sync"
    version: ClassVar[int] = 2
    scope: ClassVar[Scope] = Scope.SESSION
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1),))
    deadline_s: ClassVar[int] = _DEADLINE_S + 10
    vm: str
    request: WorkspaceRequest
    workspace: Ref[Checkout] | None = None
    """What was found when the run began; None: nobody looked."""
    replace: bool = False
    """Send it whole, and put aside what is there."""

    async def probe(self, ctx: Context, value: Checkout) -> bool:
        """Whether what was sent is what is wanted; in the guest it is the user's to change."""
        return self.workspace is not None and value.digest == ctx.value(self.workspace).digest

    async def apply(self, ctx: Context) -> Checkout:
        """Send it. Raises SpecError if the repository cannot travel, GuestError if the guest cannot take it."""
        directory = ctx.vm_dir(self.vm)
        agent = await ctx.agents.channel(directory / AGENT_SOCKET, deadline_s=_AGENT_DEADLINE_S)

        async def run(words: Sequence[str], stdin: AsyncIterator[bytes]) -> Ended:
            return await run_program(agent, ExecRequest(tuple(words)), stdin, deadline_s=_DEADLINE_S)

        def report(sent: int, total: int) -> None:
            ctx.report(Progress(sent, total))

        way = Way(run, ctx.scratch, place_path(), report=report)
        prepared = await prepare_workspace(self.request, directory, way, is_replacing=self.replace)
        return msgspec.structs.replace(prepared.workspace.checkout, how=prepared.how, sent=prepared.changed)

    async def undo(self, ctx: Context, value: Checkout | None) -> None:
        """Goes with the work disk: until the VM is deleted, the checkout is the user's."""
