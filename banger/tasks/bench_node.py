"""`bench.node`: does nothing, for `banger bench graph`."""

from typing import ClassVar

from banger.model.action import Needs
from banger.tasks import Build, Context, Ref


class BenchNode(Build[int], frozen=True, kw_only=True):
    """Puts out its number, whatever `source` is: so a change of it is cut off here."""

    kind: ClassVar[str] = "bench.node"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1),))
    number: int
    source: int = 0
    before: tuple[Ref[int], ...] = ()

    async def build(self, ctx: Context) -> int:
        """Nothing."""
        return self.number
