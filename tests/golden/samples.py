"""An example of every kind of task, made from the types of its fields, and for each field another value."""

import dataclasses
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from banger.model.action import action_digest
from banger.model.digest import Digest, digest_of
from banger.tasks import Ref, Task, action_and_inputs


def two_values(hint: Any) -> tuple[Any, Any]:
    """Two different values of a type. Raises TypeError for a type that no task had so far."""
    plain = {str: ("a", "b"), int: (1, 2), bool: (False, True), bytes: (b"a", b"b")}
    if hint in plain:
        return plain[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if getattr(hint, "__supertype__", None):
        return two_values(hint.__supertype__)
    if origin in {Union, UnionType}:
        inner = next(one for one in arguments if one is not type(None))
        return two_values(inner)
    if origin is Literal:
        return arguments[0], arguments[-1]
    if origin is Ref or hint is Ref:
        return Ref("a"), Ref("b")
    if origin in {tuple, list}:
        one, other = two_values(arguments[0])
        return origin((one,)), origin((one, other))
    if origin in {dict, Mapping}:
        one, other = two_values(arguments[1])
        return {"k": one}, {"k": other}
    return _two_of_fields(hint)


def _two_of_fields(hint: Any) -> tuple[Any, Any]:
    if not dataclasses.is_dataclass(hint) and not (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        raise TypeError(f"no example of {hint}")
    hints = fields_of(hint)
    one = hint(**{name: two_values(inner)[0] for name, inner in hints.items()})
    return one, hint(**{name: two_values(inner)[1] for name, inner in hints.items()})


def fields_of(kind: Any) -> dict[str, Any]:
    """The types of the fields."""
    names = kind.__struct_fields__ if hasattr(kind, "__struct_fields__") else [f.name for f in dataclasses.fields(kind)]
    hints = get_type_hints(kind)
    return {name: hints[name] for name in names}


def example(kind: type[Task[Any]], **changed: Any) -> Task[Any]:
    """One of its kind, but for what is to be different."""
    fields = {name: two_values(hint)[0] for name, hint in fields_of(kind).items()}
    return kind(**(fields | changed))


def digest_of_task(task: Task[Any]) -> Digest:
    """Its action digest, where every node puts out its own name."""
    action, inputs = action_and_inputs(task)
    return action_digest(action, {name: digest_of("test.output", node) for name, node in inputs.items()})
