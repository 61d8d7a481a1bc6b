"""`net.forward`: the ports that the user wants forwarded to a VM, for as long as it runs."""

from typing import ClassVar

from banger.model.action import Scope
from banger.model.handles import RunningVm
from banger.model.vm import Forward
from banger.tasks import Context, Effect, Ref
from banger.vm.forwarding import add_forward


class NetForward(Effect[list[str]], frozen=True, kw_only=True):
    """The VMM listens, so what is forwarded goes with it; a port that is taken is told before the guest has booted."""

    kind: ClassVar[str] = "net.forward"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    vm: str
    forwards: tuple[Forward, ...]
    boot: Ref[RunningVm]

    async def probe(self, ctx: Context, value: list[str]) -> bool:
        """A VMM that lives listens: `boot` is an input, so another VMM is another action."""
        return True

    async def apply(self, ctx: Context) -> list[str]:
        """Have the VMM listen. Raises ConflictError for a port that it cannot have."""
        for forward in self.forwards:
            await add_forward(ctx.vm_dir(self.vm), forward)
        return [forward.describe() for forward in self.forwards]

    async def undo(self, ctx: Context, value: list[str] | None) -> None:
        """Goes with the VMM."""
