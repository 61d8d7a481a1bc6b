"""How a kind of action is written: subclass Build, Effect, Query or Gate in a module of its own, named after the kind.

    class Unpack(Build[Tree], frozen=True, kw_only=True):
        kind = "kernel.unpack"
        version = 1
        package: Ref[File]          # a Ref is an input: its *output* is part of this action's identity
        release: str                # anything else is a parameter, and part of it too

        async def build(self, ctx: Context) -> Tree: ...

`version` is raised when the meaning of the code changes. A task knows no other task; it sees what came before it only
through its Refs, and the state directory only through its Context.
"""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from banger.model.action import Action, Flavour, Needs, Scope
from banger.model.digest import Digest
from banger.model.errors import StoreError
from banger.model.handles import File, Tree
from banger.store.scratch import remove_tree
from banger.store.state import State

__all__ = [
    "Aside",
    "Build",
    "Context",
    "Effect",
    "File",
    "Gate",
    "Progress",
    "Query",
    "Ref",
    "Task",
    "Tree",
    "action_and_inputs",
    "action_of",
    "artifacts_in",
    "find_task",
    "input_types",
    "materialize_tree",
    "output_type",
    "read_tree",
    "refs_of",
    "restore_task",
    "trees_in",
]

if TYPE_CHECKING:
    from banger.guest.agents import Agents

T = TypeVar("T")


def _new_agents() -> "Agents":
    from banger.guest.agents import Agents  # brings an event loop along, which few actions need

    return Agents()


async def _in_thread(function: Callable[..., T], *arguments: object) -> T:
    from anyio import to_thread  # by then there is an event loop

    return await to_thread.run_sync(function, *arguments)


class Ref(msgspec.Struct, Generic[T], frozen=True):
    """The output of a node, to be known once the node has run."""

    node: str


class Aside(msgspec.Struct, Generic[T], frozen=True):
    """A field that is no part of an action's identity: it helps to make the output and cannot change it.

    Where the bytes of a known digest are to be had, say. Only Builds and Queries have such fields: a lease keeps none.
    """

    value: T


class Progress(msgspec.Struct, frozen=True):
    """How far a node is; `total` None if not known."""

    done: int
    total: int | None
    unit: Literal["bytes", "items"] = "bytes"
    text: str = ""


@dataclass(eq=False)
class Context:
    """What a running task may touch."""

    state: State
    place: Callable[[], Path] | Path
    """`scratch`, or what makes it."""
    run_id: str
    inputs: Mapping[str, Any]
    report: Callable[[Progress], None] = lambda _: None
    find_agents: "Callable[[], Agents]" = _new_agents
    graceful: bool = False
    """Of an undo: the user asked for it and can wait; otherwise it is to be quick."""

    @cached_property
    def scratch(self) -> Path:
        """An empty directory of its own, made when it is first asked for, gone when the task ends."""
        return self.place if isinstance(self.place, Path) else self.place()

    @cached_property
    def agents(self) -> "Agents":
        """The connections to guests' agents; one for each guest, so no task opens its own."""
        return self.find_agents()

    def value(self, ref: Ref[T]) -> T:
        """What the node behind the Ref put out."""
        value: T = self.inputs[ref.node]
        return value

    def path(self, file: File) -> Path:
        """Path of an artifact, verified, to be read only."""
        return self.state.cas.path(file.digest)

    def materialize(self, file: File, dest: Path, *, writable: bool) -> None:
        """Make an artifact appear at a path, without copying its bytes where the file system can share them."""
        self.state.cas.materialize(file.digest, dest, writable=writable)

    def materialize_tree(self, tree: Tree, dest: Path, *, writable: bool) -> None:
        """Make the files of a tree appear below a directory, which must not exist. Raises StoreError for a bad name."""
        materialize_tree(self.state, tree, dest, writable=writable)

    def keep(self, file: Path) -> File:
        """Make a finished file from `scratch` an artifact; its name in `scratch` goes."""
        size = file.stat().st_size
        return File(self.state.cas.adopt(file), size)

    def keep_bytes(self, data: bytes) -> File:
        """Make content an artifact."""
        return File(self.state.cas.put_bytes(data), len(data))

    async def keep_large(self, file: Path) -> File:
        """`keep` for what takes a while to be read and synced: nothing else stands still meanwhile."""
        return await _in_thread(self.keep, file)

    async def keep_large_bytes(self, data: bytes) -> File:
        """`keep_bytes`, likewise."""
        return await _in_thread(self.keep_bytes, data)

    async def keep_large_tree(self, paths: Mapping[str, Path]) -> Tree:
        """Make finished files from `scratch` artifacts, and all of them one artifact, likewise."""
        return await _in_thread(lambda: self.keep_tree({name: self.keep(path) for name, path in paths.items()}))

    def keep_tree(self, files: Mapping[str, File]) -> Tree:
        """Make named artifacts one artifact."""
        listing = {name: [file.digest, file.size] for name, file in sorted(files.items())}
        return Tree(self.keep_bytes(json.dumps(listing).encode()))

    def tree(self, tree: Tree) -> dict[str, File]:
        """The files of a tree, by name."""
        return read_tree(self.state, tree)

    def vm_dir(self, vm: str) -> Path:
        """Directory of a VM; `vm.directory` makes it."""
        return self.state.vms_dir / vm


def read_tree(state: State, tree: Tree) -> dict[str, File]:
    """The files of a tree, by name. Raises StoreError if the listing is gone."""
    listing = msgspec.json.decode(state.cas.read(tree.listing.digest), type=dict[str, tuple[Digest, int]])
    return {name: File(digest, size) for name, (digest, size) in listing.items()}


def materialize_tree(state: State, tree: Tree, dest: Path, *, writable: bool) -> None:
    """Make the files of a tree appear below `dest`; a name with a slash is in a directory. All of it, or no `dest`."""
    files = read_tree(state, tree)
    for name in files:
        if not all(part not in {"", ".", ".."} for part in name.split("/")) or "\0" in name:
            raise StoreError(f"{tree.listing.digest} has an entry called {name[:80]!r}, which leads elsewhere")
    dest.mkdir(mode=0o700)
    try:
        for name, file in files.items():
            path = dest / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            state.cas.materialize(file.digest, path, writable=writable)
    except BaseException:
        remove_tree(dest, below=dest.parent)
        raise


class Task(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A kind of action, with its parameters. T is what it puts out: JSON types, Structs of them, File and Tree."""

    kind: ClassVar[str]
    version: ClassVar[int]
    flavour: ClassVar[Flavour]
    needs: ClassVar[Needs] = Needs()
    scope: ClassVar[Scope] = Scope.RUN
    deadline_s: ClassVar[int] = 600
    retries: ClassVar[int] = 0

    def claims(self) -> Needs:
        """What running it takes, where that depends on the parameters."""
        return self.needs


class Build(Task[T], Generic[T], frozen=True, kw_only=True):
    """Deterministic: the same inputs and parameters give the same bytes."""

    flavour = Flavour.BUILD

    async def build(self, ctx: Context) -> T:
        """Make it."""
        raise NotImplementedError


class Query(Task[T], Generic[T], frozen=True, kw_only=True):
    """Reads the changing world. An answer is used again for `ttl_s` seconds, and older if asking fails."""

    flavour = Flavour.QUERY
    ttl_s: ClassVar[int] = 0

    async def ask(self, ctx: Context) -> T:
        """Find out."""
        raise NotImplementedError


class Gate(Task[T], Generic[T], frozen=True, kw_only=True):
    """Waits until something is true. `post_mortem`: if it never is, what is there is kept to be looked at."""

    flavour = Flavour.GATE
    post_mortem: ClassVar[bool] = False

    async def wait(self, ctx: Context) -> T:
        """Return once it is. The engine ends it at its deadline."""
        raise NotImplementedError


class Effect(Task[T], Generic[T], frozen=True, kw_only=True):
    """Live state of the host or guest. Its name there follows from the parameters alone, so that it can be found."""

    flavour = Flavour.EFFECT

    async def probe(self, ctx: Context, value: T) -> bool:
        """Whether what `apply` once made, and described by `value`, is still there and sound."""
        raise NotImplementedError

    async def apply(self, ctx: Context) -> T:
        """Make it. May find the half of it that a killed `apply` left."""
        raise NotImplementedError

    async def undo(self, ctx: Context, value: T | None) -> None:
        """Remove it; succeed if it is gone already. `value` is None if `apply` never said that it was done."""
        raise NotImplementedError


def find_task(kind: str) -> type[Task[Any]]:
    """The class of a kind: `disk.rootfs` is in banger/tasks/disk_rootfs.py. Raises LookupError."""
    module = importlib.import_module(f"banger.tasks.{kind.replace('.', '_')}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Task) and getattr(value, "kind", None) == kind:
            return value
    raise LookupError(f"{module.__name__} has no task of kind {kind}")


def action_of(task: Task[Any]) -> Action:
    """The action that a task describes. Raises TypeError for a parameter that is not plain data."""
    return action_and_inputs(task)[0]


def refs_of(task: Task[Any]) -> dict[str, Ref[Any]]:
    """The inputs of a task, by field; those of a field that is a tuple of Refs are `field.0`, `field.1` and so on."""
    found: dict[str, Ref[Any]] = {}
    for name in task.__struct_fields__:
        value = getattr(task, name)
        if type(value) is Ref:
            found[name] = value
        elif _is_refs(value):
            found.update((_place(name, place), one) for place, one in enumerate(value))
    return found


_PLAIN = frozenset((str, int, bool, type(None)))


def action_and_inputs(task: Task[Any]) -> tuple[Action, dict[str, str]]:
    """The action that a task describes, and the nodes that its inputs come from. (One walk: a plan may be long.)"""
    params: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    for name in task.__struct_fields__:
        value = getattr(task, name)
        kind = type(value)
        if kind is Ref:
            inputs[name] = value.node
        elif kind in _PLAIN:
            params[name] = value
        elif kind is Aside:
            continue
        elif _is_refs(value):
            for place, one in enumerate(value):
                inputs[_place(name, place)] = one.node
        else:
            params[name] = msgspec.to_builtins(value)
    action = Action(
        task.kind,
        task.version,
        task.flavour,
        params,
        task.claims(),
        task.scope,
        task.deadline_s,
        task.retries,
        isinstance(task, Gate) and task.post_mortem,
    )
    return action, inputs


@cache
def _place(name: str, place: int) -> str:
    return f"{name}.{place}"


def _is_refs(value: object) -> bool:
    return type(value) is tuple and bool(value) and type(value[0]) is Ref


@cache
def input_types(kind: type[Task[Any]]) -> Mapping[str, Any]:
    """The type of each input, by field, from its annotation `Ref[X]`, `Ref[X] | None` or `tuple[Ref[X], ...]`."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        options = get_args(hint) if get_origin(hint) in {Union, UnionType, tuple} else (hint,)
        for option in options:
            if get_origin(option) is Ref:
                found[name] = get_args(option)[0]
    return found


@cache
def output_type(kind: type[Task[Any]]) -> Any:  # noqa: ANN401 - a type expression
    """T of the Task[T] that a class is."""
    for base in kind.__mro__:
        for original in base.__dict__.get("__orig_bases__", ()):
            arguments = get_args(original)
            if arguments and not isinstance(arguments[0], TypeVar):
                return arguments[0]
    raise TypeError(f"{kind.__name__} does not say what it puts out")


def restore_task(kind: str, params: Mapping[str, object], refs: Mapping[str, str]) -> Task[Any]:
    """Make a task again from what a lease remembers. Raises LookupError or msgspec.ValidationError."""
    found = find_task(kind)
    hints = get_type_hints(found)
    fields: dict[str, Any] = {}
    for name, node in refs.items():
        field, _, place = name.partition(".")
        fields[field] = (*fields.get(field, ()), Ref(node)) if place else Ref(node)
    for name, value in params.items():
        fields[name] = msgspec.convert(value, hints[name])
    return found(**fields)


def artifacts_in(value: object) -> Iterator[File]:
    """Every File that a value speaks of."""
    if isinstance(value, File):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from artifacts_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from artifacts_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from artifacts_in(one)


def trees_in(value: object) -> Iterator[Tree]:
    """Every Tree that a value speaks of."""
    if isinstance(value, Tree):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from trees_in(getattr(value, name))
