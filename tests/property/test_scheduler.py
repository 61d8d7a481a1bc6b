"""Random graphs, pools, failures and aborts through the scheduler, against what must hold whatever happens."""

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from banger.graph.build import Graph, build_graph
from banger.graph.events import (
    Abort,
    Begin,
    Command,
    Conclude,
    Event,
    Execute,
    Failed,
    Finished,
    LookedUp,
    Lookup,
    RetryDue,
    RetryLater,
    Stop,
    Stopped,
)
from banger.graph.scheduler import Scheduler
from banger.graph.states import ENDS, State
from banger.model.action import Action, Flavour, Needs, Node, Output, Scope

ORDINARY = (Flavour.BUILD, Flavour.EFFECT, Flavour.QUERY, Flavour.GATE)
CAPACITIES = {"cpu": 2, "net": 3}


def random_graph(rng: random.Random) -> Graph:
    nodes: list[Node] = []
    ground: list[Scope] = []
    for number in range(rng.randint(0, 14)):
        before = rng.sample(range(number), rng.randint(0, min(number, 3)))
        cut = rng.randint(0, len(before))
        flavour = rng.choice(ORDINARY)
        longest = min((ground[one] for one in before), default=Scope.HOST)
        scope = rng.choice([one for one in Scope if one <= longest])
        ground.append({Flavour.BUILD: Scope.HOST, Flavour.EFFECT: scope}.get(flavour, longest))
        action = Action(
            kind="test.node",
            version=1,
            flavour=flavour,
            params={"number": number},
            needs=Needs(pools=rng.choice(((), (("cpu", 1),), (("cpu", 2), ("net", 1))))),
            scope=scope,
            retries=rng.randint(0, 2),
            post_mortem=flavour is Flavour.GATE and rng.random() < 0.3,
        )
        nodes.append(
            Node(
                id=f"n{number}",
                action=action,
                inputs={f"in{index}": f"n{one}" for index, one in enumerate(before[:cut])},
                after=tuple(f"n{one}" for one in before[cut:]),
            )
        )
    return build_graph(nodes)


@dataclass
class World:
    """Performs commands at random moments and checks each of them against the rules."""

    graph: Graph
    rng: random.Random
    fault: float
    waiting: list[tuple[Command, bool]] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    stuck: set[str] = field(default_factory=set)
    adopted: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    executions: dict[str, int] = field(default_factory=dict)
    conclusion: Conclude | None = None
    aborted: bool = False

    def accept(self, command: Command) -> None:
        assert self.conclusion is None, f"{command} after the end"
        match command:
            case Conclude():
                assert not self.running
                self.conclusion = command
            case Stop():
                index = next(i for i, (one, _) in enumerate(self.waiting) if getattr(one, "node", "") == command.node)
                self.waiting[index] = (self.waiting[index][0], True)
            case Execute():
                self.start(command)
            case Lookup() | RetryLater():
                self.waiting.append((command, False))

    def start(self, command: Execute) -> None:
        node = self.graph.nodes[command.node]
        self.running.add(node.id)
        for pool, capacity in CAPACITIES.items():
            used = sum(dict(self.graph.nodes[one].action.needs.pools).get(pool, 0) for one in self.running)
            assert used <= capacity, f"{pool} is over-committed"
        if node.action.flavour is Flavour.RELEASE:
            effect = node.id.removeprefix("release:")
            assert effect in self.begun, "released what was never begun"
            assert effect not in self.adopted, "released what this run did not make"
            users = self.transitive_users(effect)
            assert not users & (self.held - self.adopted - self.stuck), "released before what uses it"
            assert not users & self.running, "released under a running user"
        else:
            assert set(self.graph.predecessors[node.id]) <= self.done
            self.begun.add(node.id)
            self.executions[node.id] = self.executions.get(node.id, 0) + 1
            assert self.executions[node.id] <= 1 + node.action.retries
        self.waiting.append((command, False))

    def transitive_users(self, name: str) -> set[str]:
        found: set[str] = set()
        stack = [name]
        while stack:
            for after in self.graph.successors[stack.pop()]:
                if after not in found and self.graph.nodes[after].action.flavour is not Flavour.RELEASE:
                    found.add(after)
                    if self.graph.nodes[after].action.flavour is not Flavour.BUILD:  # an artifact stands on its own
                        stack.append(after)
        return found

    def happen(self) -> Event:
        command, stopping = self.waiting.pop(self.rng.randrange(len(self.waiting)))
        match command:
            case Lookup():
                hit = self.rng.random() < 0.3
                if hit:
                    self.done.add(command.node)
                return LookedUp(command.node, Output(1) if hit else None)
            case RetryLater():
                return RetryDue(command.node)
            case Execute():
                return self.finish(command, stopping=stopping)
            case _:
                raise AssertionError(command)

    def finish(self, command: Execute, *, stopping: bool) -> Event:
        node = self.graph.nodes[command.node]
        self.running.discard(node.id)
        release = node.action.flavour is Flavour.RELEASE
        if self.rng.random() < self.fault:
            transient = self.rng.random() < 0.5
            if release:
                self.stuck.add(node.id.removeprefix("release:"))
            return Failed(node.id, "it broke", transient=transient)
        if release:
            self.stuck.discard(node.id.removeprefix("release:"))
            self.held.discard(node.id.removeprefix("release:"))
            return Finished(node.id, Output(None))
        if stopping and self.rng.random() < 0.7:
            return Stopped(node.id)
        self.done.add(node.id)
        adopted = False
        if node.action.flavour is Flavour.EFFECT:
            self.held.add(node.id)
            adopted = self.rng.random() < 0.2
            if adopted:
                self.adopted.add(node.id)
        return Finished(node.id, Output(self.rng.randint(0, 3)), adopted=adopted)


def drive(seed: int, fault: float, abort: float, *, keep_going: bool) -> tuple[list[Event], list[list[Command]]]:
    rng = random.Random(seed)
    graph = random_graph(rng)
    scheduler = Scheduler(graph, CAPACITIES, keep_going=keep_going)
    world = World(graph, rng, fault)
    events: list[Event] = [Begin()]
    answers: list[list[Command]] = []
    aborted = False
    while True:
        commands = scheduler.handle(events[-1])
        answers.append(commands)
        for command in commands:
            world.accept(command)
        if not world.waiting:
            break
        if not aborted and rng.random() < abort:
            aborted = True
            world.aborted = world.aborted or any(
                scheduler.state(name) not in ENDS
                for name, node in graph.nodes.items()
                if node.action.flavour is not Flavour.RELEASE
            )
            events.append(Abort("the user wants it"))
        else:
            events.append(world.happen())
    check_end(scheduler, world)
    return events, answers


def check_end(scheduler: Scheduler, world: World) -> None:
    graph = world.graph
    assert world.conclusion is not None, "the run never ended"
    assert all(scheduler.state(name) in ENDS for name in graph.nodes)
    ordinary = [name for name, node in graph.nodes.items() if node.action.flavour is not Flavour.RELEASE]
    stuck = {effect for effect, release in graph.release_of.items() if scheduler.state(release) is State.FAILED}
    held = world.held - stuck  # what could not be undone stays in the journal for the next recovery
    all_done = all(scheduler.state(name) is State.DONE for name in ordinary)
    assert world.conclusion.succeeded == (all_done and not world.aborted)
    if world.conclusion.keep:
        lasting = {
            name
            for name in ordinary
            if graph.nodes[name].action.flavour is Flavour.EFFECT
            and scheduler.state(name) is State.DONE
            and (graph.nodes[name].action.scope is not Scope.RUN or name in world.adopted)
        }
        assert held == lasting - stuck
    else:
        assert held <= world.adopted, "a failed run left something behind"
    for name in ordinary:
        if scheduler.state(name) in {State.SKIPPED, State.CANCELLED}:
            assert scheduler.because(name)


@given(
    seed=st.integers(0, 2**32),
    fault=st.sampled_from((0.0, 0.05, 0.4)),
    abort=st.sampled_from((0.0, 0.02, 0.2)),
    keep_going=st.booleans(),
)
@settings(max_examples=500, deadline=None)
def test_whatever_happens_a_run_ends_and_leaves_nothing_that_it_should_not(
    *, seed: int, fault: float, abort: float, keep_going: bool
) -> None:
    drive(seed, fault, abort, keep_going=keep_going)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_the_scheduler_is_a_function_of_its_events(seed: int) -> None:
    events, answers = drive(seed, 0.2, 0.05, keep_going=False)
    graph = random_graph(random.Random(seed))
    again = Scheduler(graph, CAPACITIES)
    assert [again.handle(event) for event in events] == answers
