"""Repositories that mean harm, by hand: each is one trap, set in a copy of the same small repository."""

from tests.unit.workspace.hostile import commands, content, endless, places
from tests.unit.workspace.hostile.trap import Trap

TRAPS: tuple[Trap, ...] = (*commands.TRAPS, *places.TRAPS, *endless.TRAPS, *content.TRAPS)
