"""`guest.programs`: our own init and agent, as they were compiled for the guest."""

from typing import ClassVar

from banger.guest.programs import program_paths
from banger.model.handles import GuestPrograms
from banger.tasks import Context, Query


class AskGuestPrograms(Query[GuestPrograms], frozen=True, kw_only=True):
    """The parameter changes with the files."""

    kind: ClassVar[str] = "guest.programs"
    version: ClassVar[int] = 1
    ttl_s: ClassVar[int] = 30 * 24 * 3600
    stamp: str

    async def ask(self, ctx: Context) -> GuestPrograms:
        """Take them into the store. Raises HostError if they were never compiled."""
        init, agent = program_paths()
        return GuestPrograms(ctx.keep_bytes(init.read_bytes()), ctx.keep_bytes(agent.read_bytes()))
