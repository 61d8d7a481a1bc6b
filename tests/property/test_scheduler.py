"""Random graphs, pools, failures and aborts through the scheduler, against what must hold whatever happens."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.graph.build import Graph, build_graph
from banger.graph.events import (
    Abort,
    Answers,
    Begin,
    Command,
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
from banger.graph.pools import Pools
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
    joined: set[str] = field(default_factory=set)
    sharing: list["World"] = field(default_factory=list)
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
            used = sum(world.using(pool) for world in (self, *self.sharing))
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

    def using(self, pool: str) -> int:
        return sum(dict(self.graph.nodes[one].action.needs.pools).get(pool, 0) for one in self.running - self.joined)

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
        builds = [
            command.node
            for command, _ in self.waiting
            if isinstance(command, Execute) and self.graph.nodes[command.node].action.flavour is Flavour.BUILD
        ]
        alone = sorted(set(builds) - self.joined)
        if alone and self.rng.random() < 0.1:
            self.joined.add(alone[0])
            return Joined(alone[0])
        command, stopping = self.waiting.pop(self.rng.randrange(len(self.waiting)))
        match command:
            case Lookup():
                asked = [command]
                if self.rng.random() < 0.5:
                    asked += [one for one, _ in self.waiting if isinstance(one, Lookup)]
                    self.waiting = [(one, stops) for one, stops in self.waiting if not isinstance(one, Lookup)]
                answers = [self.look_up(one) for one in asked]
                return answers[0] if len(answers) == 1 else Answers(answers)
            case RetryLater():
                return RetryDue(command.node)
            case Execute():
                return self.finish(command, stopping=stopping)
            case _:
                raise AssertionError(command)

    def look_up(self, command: Lookup) -> LookedUp:
        hit = self.rng.random() < 0.3
        if hit:
            self.done.add(command.node)
        return LookedUp(command.node, Output(1) if hit else None)

    def begin(self) -> Begin:
        """Some of what could be known before anything is done."""
        known: dict[str, Output] = {}
        for name, node in self.graph.nodes.items():
            remembered = node.action.flavour in {Flavour.BUILD, Flavour.QUERY}
            if remembered and known.keys() >= set(self.graph.predecessors[name]) and self.rng.random() < 0.3:
                known[name] = Output(self.rng.randint(0, 3))
        self.done.update(known)
        return Begin(known)

    def finish(self, command: Execute, *, stopping: bool) -> Event:
        node = self.graph.nodes[command.node]
        self.running.discard(node.id)
        self.joined.discard(node.id)
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


@dataclass
class Drive:
    """One run: its scheduler, its world, and all that went between them."""

    scheduler: Scheduler
    world: World
    abort: float
    events: list[Event] = field(default_factory=list)
    answers: list[list[Command]] = field(default_factory=list)
    aborted: bool = False

    def step(self) -> bool:
        """Hand one event over; False once there is nothing more to happen by itself."""
        if not self.events:
            self.events.append(self.world.begin())
        commands = self.scheduler.handle(self.events[-1])
        self.answers.append(commands)
        for command in commands:
            self.world.accept(command)
        if not self.world.waiting:
            return False
        rng, graph = self.world.rng, self.world.graph
        if not self.aborted and rng.random() < self.abort:
            self.aborted = True
            self.world.aborted = self.world.aborted or any(
                self.scheduler.state(name) not in ENDS
                for name, node in graph.nodes.items()
                if node.action.flavour is not Flavour.RELEASE
            )
            self.events.append(Abort("the user wants it"))
        else:
            self.events.append(self.world.happen())
        return True


def drive(seed: int, fault: float, abort: float, *, keep_going: bool) -> tuple[list[Event], list[list[Command]]]:
    rng = random.Random(seed)
    graph = random_graph(rng)
    one = Drive(Scheduler(graph, CAPACITIES, keep_going=keep_going), World(graph, rng, fault), abort)
    while one.step():
        pass
    check_end(one.scheduler, one.world)
    return one.events, one.answers


def drive_together(seed: int, fault: float, abort: float) -> None:
    """Several runs that share pools, their events mixed at random."""
    rng = random.Random(seed)
    pools = Pools(CAPACITIES)
    drives = []
    for _ in range(rng.randint(2, 4)):
        graph = random_graph(rng)
        drives.append(Drive(Scheduler(graph, pools), World(graph, rng, fault), abort))
    for one in drives:
        one.world.sharing = [other.world for other in drives if other is not one]
    going = list(drives)
    while going:
        one = rng.choice(going)
        if one.step():
            continue
        if one.world.conclusion is not None:
            going.remove(one)
            continue
        assert one.scheduler.waits_for_room, "nothing runs, nothing is to run, and the run is not at its end"
        one.events.append(Room())
    for one in drives:
        check_end(one.scheduler, one.world)
    assert pools.free == pools.capacities


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


SEEDS = st.integers(0, 2**32)
FAULTS = st.sampled_from((0.0, 0.05, 0.4))
ABORTS = st.sampled_from((0.0, 0.02, 0.2))


@given(seed=SEEDS, fault=FAULTS, abort=ABORTS, keep_going=st.booleans())
@settings(max_examples=500, deadline=None)
def test_whatever_happens_a_run_ends_and_leaves_nothing_that_it_should_not(
    *, seed: int, fault: float, abort: float, keep_going: bool
) -> None:
    drive(seed, fault, abort, keep_going=keep_going)


@given(seed=SEEDS, fault=FAULTS, abort=ABORTS)
@settings(max_examples=200, deadline=None)
def test_runs_that_share_pools_all_end_and_never_overcommit(*, seed: int, fault: float, abort: float) -> None:
    drive_together(seed, fault, abort)


@given(seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_the_scheduler_is_a_function_of_its_events(seed: int) -> None:
    events, answers = drive(seed, 0.2, 0.05, keep_going=False)
    graph = random_graph(random.Random(seed))
    again = Scheduler(graph, CAPACITIES)
    assert [again.handle(event) for event in events] == answers


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@given(seed=SEEDS, fault=FAULTS, abort=ABORTS, keep_going=st.booleans())
@settings(max_examples=20_000, deadline=None)
def test_all_of_that_twenty_thousand_times(*, seed: int, fault: float, abort: float, keep_going: bool) -> None:
    drive(seed, fault, abort, keep_going=keep_going)
    drive_together(seed, fault, abort)
