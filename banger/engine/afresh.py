"""What is done once more though its result is remembered, because the user says so."""

from collections.abc import Iterable

from banger.engine.observe import Emit
from banger.engine.run import Engine
from banger.model.action import Flavour
from banger.model.errors import BangerError, SpecError
from banger.plan import Plan
from banger.tasks import Query

REFRESH = "refresh"
"""The sort of run that asks and does nothing else."""
_REMEMBERED = frozenset((Flavour.BUILD, Flavour.QUERY))


async def refresh(engine: Engine, plan: Plan, emit: Emit) -> None:
    """Ask again every query of a plan whose answer would be used again; what they say now is remembered in its place.

    In a run of its own, and before anything else: whether there is a template for a VM depends on the answers. Raises
    what asking raises, and then the earlier answers stay.
    """
    asked = queries_of(plan)
    try:
        await engine.run(asked, emit, again=frozenset(asked.tasks))
    except BangerError as error:
        error.hint = error.hint or "leave --refresh out, to go on with the earlier answers"
        raise


def queries_of(plan: Plan) -> Plan:
    """The queries of a plan whose answers are remembered, as far as they rest on nothing but each other."""
    chosen = Plan(REFRESH)
    for node in plan.graph().nodes.values():
        task = plan.tasks.get(node.id)
        if isinstance(task, Query) and task.ttl_s and all(one in chosen.tasks for one in node.inputs.values()):
            chosen.tasks[node.id] = task
            chosen.nodes.append(node)
    return chosen


def nodes_called(plan: Plan, names: Iterable[str]) -> frozenset[str]:
    """The nodes of a plan that can be made again and are called, or are of a kind called, one of these.

    Raises SpecError for a name that none has.
    """
    able = [node for node in plan.nodes if node.action.flavour in _REMEMBERED]
    found: set[str] = set()
    for name in names:
        called = [node.id for node in able if name in {node.id, node.action.kind}]
        if not called:
            raise SpecError(
                f"no node called {name[:80]!r} can be made again; these can: {', '.join(node.id for node in able)}"
            )
        found.update(called)
    return frozenset(found)
