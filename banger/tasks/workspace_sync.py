"""`workspace.sync`: the user's git checkout, at /root/repo in the guest."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, ClassVar

from banger.host.login_key import login_key
from banger.model.action import Needs, Scope
from banger.model.handles import Checkout, RunningVm
from banger.model.vm import WorkspaceRequest
from banger.tasks import Context, Effect, Progress, Ref
from banger.workspace.inspect import inspect_repository
from banger.workspace.sync import sync_workspace

if TYPE_CHECKING:
    from banger.host.ssh import Ended

_HOST_KEY_FILE = "ssh_host_ed25519_key.pub"
_DEADLINE_S = 1800


class SyncWorkspace(Effect[Checkout], frozen=True, kw_only=True):
    """Done once, when the VM is made. The lease goes with the session; the checkout stays, on the work disk.

    What is sent is what is there now: the user may have saved a file since `workspace.inspect`, while an image was
    made. The value says what was sent.
    """

    kind: ClassVar[str] = "workspace.sync"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1),))
    deadline_s: ClassVar[int] = _DEADLINE_S + 10
    vm: str
    request: WorkspaceRequest
    workspace: Ref[Checkout]
    boot: Ref[RunningVm]
    port: Ref[int]

    async def probe(self, ctx: Context, value: Checkout) -> bool:
        """Whether what was sent is what is wanted; in the guest it is the user's to change."""
        return value.digest == ctx.value(self.workspace).digest

    async def apply(self, ctx: Context) -> Checkout:
        """Send it. Raises SpecError if the repository cannot travel, GuestError if the guest cannot take it."""
        from banger.host.ssh import GuestSsh, run_in_guest  # asyncssh takes a third of a second

        found = await inspect_repository(
            self.request.path,
            include_untracked=self.request.include_untracked,
            branch=self.request.branch,
            from_ref=self.request.from_ref,
        )
        guest = GuestSsh(
            port=ctx.value(self.port),
            client_key=login_key(ctx.state.client_key),
            host_key=(ctx.vm_dir(self.vm) / _HOST_KEY_FILE).read_text(encoding="ascii").strip(),
        )

        async def run(command: str, stdin: AsyncIterator[bytes]) -> "Ended":
            return await run_in_guest(guest, command, stdin, deadline_s=_DEADLINE_S)

        def report(sent: int, total: int) -> None:
            ctx.report(Progress(sent, total))

        await sync_workspace(found, run, scratch=ctx.scratch, report=report)
        return found.checkout

    async def undo(self, ctx: Context, value: Checkout | None) -> None:
        """Goes with the work disk: until the VM is deleted, the checkout is the user's."""
