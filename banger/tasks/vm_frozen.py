"""`vm.frozen`: what an earlier run has frozen, for the VMs that start from it."""

from typing import ClassVar

from banger.model.handles import FrozenVm
from banger.tasks import Context, Query


class GivenFrozenVm(Query[FrozenVm], frozen=True, kw_only=True):
    """A value that is known already, as a node: its files are in the CAS for as long as a VM's lease speaks of them."""

    kind: ClassVar[str] = "vm.frozen"
    version: ClassVar[int] = 1
    frozen: FrozenVm

    async def ask(self, ctx: Context) -> FrozenVm:
        """Hand it on."""
        return self.frozen
