"""Decisions of the scheduler that a reader should find written down, one a test."""

import sys
from collections.abc import Sequence

import pytest

from banger.graph.build import GraphError, build_graph
from banger.graph.events import (
    Abort,
    Answers,
    Begin,
    Conclude,
    Event,
    Execute,
    Failed,
    Finished,
    Joined,
    LookedUp,
    Lookup,
    RetryDue,
    RetryLater,
    Room,
    Stop,
    Stopped,
)
from banger.graph.pools import PATIENCE, Pools, Queue
from banger.graph.scheduler import RETRY_BUDGET, Scheduler
from banger.graph.states import IllegalMoveError, State
from banger.model.action import Action, Flavour, Needs, Node, Output, Scope


def node(name: str, flavour: Flavour = Flavour.BUILD, **more: object) -> Node:
    inputs = more.pop("inputs", {})
    after = more.pop("after", ())
    action = Action(kind="t", version=1, flavour=flavour, params={"n": name}, **more)  # type: ignore[arg-type]
    return Node(id=name, action=action, inputs=inputs, after=after)  # type: ignore[arg-type]


def executed(commands: Sequence[object]) -> list[str]:
    return [command.node for command in commands if isinstance(command, Execute)]


def test_an_unchanged_output_gives_its_consumer_the_same_digest() -> None:
    digests = []
    for params in ("a", "b"):
        first = Node(id="x", action=Action(kind="t", version=1, flavour=Flavour.BUILD, params={"p": params}))
        scheduler = Scheduler(build_graph([first, node("y", inputs={"from_x": "x"})]), {})
        scheduler.handle(Begin())
        (lookup,) = scheduler.handle(LookedUp("x", Output("same")))
        assert isinstance(lookup, Lookup)
        digests.append(lookup.digest)
    assert digests[0] == digests[1]


def test_what_is_known_before_the_run_is_done_and_what_stands_on_it_is_looked_up() -> None:
    nodes = [node("a"), node("b", inputs={"in": "a"}), node("c", inputs={"in": "b"}), node("d")]
    one_by_one, at_once = Scheduler(build_graph(nodes), {}), Scheduler(build_graph(nodes), {})
    one_by_one.handle(Begin())
    one_by_one.handle(LookedUp("a", Output(1)))
    (asked,) = one_by_one.handle(LookedUp("b", Output(2)))
    assert at_once.handle(Begin({"a": Output(1), "b": Output(2)}))[:1] == [asked]
    assert (at_once.state("b"), at_once.state("c")) == (State.DONE, State.LOOKUP)


def test_a_run_of_which_all_is_known_is_over_at_once() -> None:
    scheduler = Scheduler(build_graph([node("a"), node("b", inputs={"in": "a"})]), {})
    assert scheduler.handle(Begin({"a": Output(1), "b": Output(2)})) == [Conclude(succeeded=True, keep=True)]


def test_what_stands_on_the_unknown_cannot_be_known() -> None:
    scheduler = Scheduler(build_graph([node("a"), node("b", inputs={"in": "a"})]), {})
    with pytest.raises(AssertionError, match="cannot be known before"):
        scheduler.handle(Begin({"b": Output(2)}))


def test_of_what_is_looked_up_together_the_longest_path_starts_first() -> None:
    graph = build_graph([node("short", needs=Needs((("cpu", 1),))), node("long", needs=Needs((("cpu", 1),)))])
    scheduler = Scheduler(graph, {"cpu": 1}, weights={"short": 1.0, "long": 9.0})
    scheduler.handle(Begin())
    assert executed(scheduler.handle(Answers([LookedUp("short", None), LookedUp("long", None)]))) == ["long"]


def test_the_longer_path_starts_first() -> None:
    graph = build_graph([node("short", needs=Needs((("cpu", 1),))), node("long", needs=Needs((("cpu", 1),)))])
    scheduler = Scheduler(graph, {"cpu": 1}, weights={"short": 1.0, "long": 9.0})
    scheduler.handle(Begin())
    commands = scheduler.handle(LookedUp("long", None))
    assert executed(commands) == ["long"]
    assert executed(scheduler.handle(LookedUp("short", None))) == []
    assert executed(scheduler.handle(Finished("long", Output(None)))) == ["short"]


def test_of_two_that_are_ready_the_one_with_more_behind_it_goes_first() -> None:
    cpu = Needs((("cpu", 1),))
    gates = [node(name, Flavour.GATE, needs=cpu) for name in ("now", "short", "long")]
    graph = build_graph([*gates, node("behind", Flavour.GATE, after=("long",))])
    scheduler = Scheduler(graph, {"cpu": 1}, weights={"now": 99.0, "short": 5.0, "long": 3.0, "behind": 4.0})
    assert executed(scheduler.handle(Begin())) == ["now"]
    assert executed(scheduler.handle(Finished("now", Output(None)))) == ["long"]


def test_a_claim_that_can_never_be_granted_fails_at_once() -> None:
    scheduler = Scheduler(build_graph([node("big", Flavour.GATE, needs=Needs((("cpu", 9),)))]), {"cpu": 2})
    assert scheduler.handle(Begin()) == [Conclude(succeeded=False, keep=False)]
    assert scheduler.because("big") == "needs 9 of cpu, and there are 2 in all"


def test_a_failure_lets_running_builds_end_and_stops_gates() -> None:
    graph = build_graph([node("build"), node("gate", Flavour.GATE), node("bad", Flavour.GATE)])
    scheduler = Scheduler(graph, {})
    scheduler.handle(Begin())
    scheduler.handle(LookedUp("build", None))
    assert scheduler.handle(Failed("bad", "no")) == [Stop("gate")]
    assert scheduler.state("build") is State.RUNNING


def test_an_abort_stops_builds_too_and_then_undoes() -> None:
    graph = build_graph([node("tap", Flavour.EFFECT, scope=Scope.VM), node("build", after=("tap",))])
    scheduler = Scheduler(graph, {})
    scheduler.handle(Begin())
    scheduler.handle(Finished("tap", Output("tap7")))
    scheduler.handle(LookedUp("build", None))
    assert scheduler.handle(Abort("Ctrl-C")) == [Stop("build")]
    assert executed(scheduler.handle(Finished("build", Output(1)))) == ["release:tap"]
    assert scheduler.handle(Finished("release:tap", Output(None))) == [Conclude(succeeded=False, keep=False)]


def test_a_gate_for_a_post_mortem_ends_the_run_and_keeps_what_is_whole() -> None:
    graph = build_graph(
        [
            node("boot", Flavour.EFFECT, scope=Scope.VM),
            node("ssh", Flavour.GATE, after=("boot",), post_mortem=True),
            node("sync", Flavour.EFFECT, after=("ssh",)),
            node("half", Flavour.EFFECT, scope=Scope.VM),
        ]
    )
    scheduler = Scheduler(graph, {})
    scheduler.handle(Begin())
    scheduler.handle(Finished("boot", Output(1)))
    assert scheduler.handle(Failed("ssh", "late")) == [Stop("half")]
    assert executed(scheduler.handle(Stopped("half"))) == ["release:half"]
    assert scheduler.handle(Finished("release:half", Output(None))) == [Conclude(succeeded=False, keep=True)]


def test_an_adopted_effect_is_not_undone_when_the_run_fails() -> None:
    graph = build_graph([node("disk", Flavour.EFFECT, scope=Scope.VM), node("gate", Flavour.GATE, after=("disk",))])
    scheduler = Scheduler(graph, {})
    scheduler.handle(Begin())
    scheduler.handle(Finished("disk", Output("d"), adopted=True))
    assert scheduler.handle(Failed("gate", "no")) == [Conclude(succeeded=False, keep=False)]


def test_releases_run_in_reverse_across_a_gate() -> None:
    graph = build_graph(
        [
            node("disk", Flavour.EFFECT, scope=Scope.VM),
            node("ready", Flavour.GATE, after=("disk",)),
            node("vm", Flavour.EFFECT, scope=Scope.VM, after=("ready",)),
        ]
    )
    assert set(graph.predecessors["release:disk"]) == {"disk", "ready", "release:vm"}


def test_a_move_outside_the_table_tells_the_story_of_the_node() -> None:
    scheduler = Scheduler(build_graph([node("x")]), {})
    scheduler.handle(Begin())
    scheduler.handle(LookedUp("x", Output(1)))
    with pytest.raises(IllegalMoveError, match="x: WAITING -> LOOKUP -> DONE -> DONE"):
        scheduler.handle(LookedUp("x", Output(1)))


def test_a_cycle_is_named() -> None:
    with pytest.raises(GraphError, match="cycle: "):
        build_graph([node("a", after=("b",)), node("b", after=("a",))])


def test_an_unknown_predecessor_is_named() -> None:
    with pytest.raises(GraphError, match="a needs ghost, which is not in the graph"):
        build_graph([node("a", after=("ghost",))])


def test_a_long_chain_is_no_deep_recursion() -> None:
    chain = [node("n0"), *(node(f"n{i}", inputs={"x": f"n{i - 1}"}) for i in range(1, 5000))]
    scheduler = Scheduler(build_graph(chain), {})
    scheduler.handle(Begin())
    scheduler.handle(LookedUp("n0", None))
    assert Conclude(succeeded=False, keep=False) in scheduler.handle(Failed("n0", "no"))
    assert scheduler.because("n4999") == "n0"


def test_a_build_that_is_made_elsewhere_leaves_its_pools_to_others() -> None:
    graph = build_graph([node("joined", needs=Needs((("cpu", 1),))), node("other", needs=Needs((("cpu", 1),)))])
    scheduler = Scheduler(graph, {"cpu": 1})
    scheduler.handle(Begin())
    assert executed(scheduler.handle(LookedUp("joined", None))) == ["joined"]
    assert executed(scheduler.handle(LookedUp("other", None))) == []
    assert executed(scheduler.handle(Joined("joined"))) == ["other"]
    assert scheduler.handle(Finished("joined", Output(1))) == []
    assert scheduler.handle(Finished("other", Output(1))) == [Conclude(succeeded=True, keep=True)]


def test_runs_share_pools_and_one_is_served_when_another_gives_back() -> None:
    pools = Pools({"cpu": 1})
    one, other = (Scheduler(build_graph([node("x", Flavour.GATE, needs=Needs((("cpu", 1),)))]), pools) for _ in "12")
    assert executed(one.handle(Begin())) == ["x"]
    assert executed(other.handle(Begin())) == []
    assert other.waits_for_room
    one.handle(Finished("x", Output(1)))
    assert executed(other.handle(Room())) == ["x"]


def test_a_big_claim_is_not_passed_over_for_ever() -> None:
    pools = Pools({"cpu": 2})
    big, small = Queue(pools), Queue(pools)
    for number in range(PATIENCE + 10):
        small.push((("cpu", 1),), 9.0, number)
    assert small.pop() == 0
    big.push((("cpu", 2),), 1.0, 0)
    served = 1
    while small.pop() is not None:
        served += 1
        pools.give_back((("cpu", 1),))
    assert served <= PATIENCE + 1, "small claims went on being served"
    assert big.pop() is None
    pools.give_back((("cpu", 1),))
    assert big.pop() == 0
    assert small.pop() is None
    pools.give_back((("cpu", 2),))
    assert small.pop() is not None, "and the others are served again"


def test_retries_of_all_nodes_together_have_a_budget() -> None:
    graph = build_graph([node(f"g{number}", Flavour.GATE, retries=9) for number in range(RETRY_BUDGET)])
    scheduler = Scheduler(graph, {}, keep_going=True)
    scheduler.handle(Begin())
    again = 0
    for _ in range(9):
        for name in graph.nodes:
            if scheduler.state(name) is State.RUNNING:
                for command in scheduler.handle(Failed(name, "no", transient=True)):
                    again += isinstance(command, RetryLater)
                scheduler.handle(RetryDue(name))
    assert again == RETRY_BUDGET
    assert {scheduler.state(name) for name in graph.nodes} == {State.FAILED}


def test_who_set_a_node_free_is_told() -> None:
    cpu = Needs((("cpu", 1),))
    graph = build_graph([node("a", Flavour.GATE, needs=cpu), node("b", Flavour.GATE, needs=cpu, after=("a",)),
                         node("c", Flavour.GATE, needs=cpu, after=("a",))])  # fmt: skip
    scheduler = Scheduler(graph, {"cpu": 1})
    scheduler.handle(Begin())
    (first,) = scheduler.handle(Finished("a", Output(1)))
    assert first == Execute("b", first.digest, 1, freed_by="a", granted_by=None)  # type: ignore[union-attr]
    (second,) = scheduler.handle(Finished("b", Output(1)))
    assert second == Execute("c", second.digest, 1, freed_by="a", granted_by="b")  # type: ignore[union-attr]


def test_work_per_event_does_not_grow_with_the_graph() -> None:
    """Counted in function calls, not in time: a million nodes would cost as much each as a hundred."""

    def calls_per_node(count: int) -> float:
        graph = build_graph([node(f"n{number}", needs=Needs((("cpu", 1),))) for number in range(count)])
        scheduler = Scheduler(graph, {"cpu": 2})
        calls = 0

        def count_calls(_frame: object, what: str, _argument: object) -> None:
            nonlocal calls
            calls += what in {"call", "c_call"}

        events: list[Event] = [Begin()]
        sys.setprofile(count_calls)
        try:
            while events:
                for command in scheduler.handle(events.pop()):
                    if isinstance(command, Lookup):
                        events.append(LookedUp(command.node, None))
                    elif isinstance(command, Execute):
                        events.insert(0, Finished(command.node, Output(1)))
        finally:
            sys.setprofile(None)
        return calls / count

    assert calls_per_node(2000) < 1.2 * calls_per_node(200)
