"""Run a plan once more where that helps by itself: an object was found damaged, or there was no room left."""

import errno
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from banger.engine.observe import Emit
from banger.engine.prune import make_room
from banger.engine.run import Engine
from banger.model.errors import BangerError, DamagedError, NoSpaceError
from banger.plan import Plan

_MOST_TRIES = 4
"""Several objects can be damaged, and each run may meet only the next of them."""


async def run_well(engine: Engine, plan: Plan, emit: Emit, again: Collection[str] = ()) -> Mapping[str, Any]:
    """Run a plan, `again` as `Engine.run` has it. Whatever a failed try began is undone before the next.

    Raises what the last try raises.

    A damaged object has been put aside when the error arrives, so the next try finds a miss and makes it anew.
    """
    await make_room(engine.state, emit)
    made_room = False
    for _ in range(_MOST_TRIES - 1):
        try:
            return await engine.run(plan, emit, again=again)
        except BangerError as error:
            if any(isinstance(one, DamagedError) for one in _chain(error)):
                _say(engine, emit, f"{error.message.split(';')[0]}: making it again")
            elif made_room or not any(_is_full(one) for one in _chain(error)):
                raise
            else:
                made_room = True
                view = await make_room(engine.state, emit, force=True)
                if view is None or not view.freed_bytes:
                    raise
                _say(engine, emit, "there was no space left; trying again with what the cache has given back")
    return await engine.run(plan, emit, again=again)


def _chain(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


def _is_full(error: BaseException) -> bool:
    return isinstance(error, NoSpaceError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC)


def _say(engine: Engine, emit: Emit, text: str) -> None:
    emit({"event": "notice", "at": engine.state.clock.monotonic(), "text": text})
