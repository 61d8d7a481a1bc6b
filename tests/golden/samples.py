"""An example of every kind of task, made from the types of its fields, and for each field another value."""

import dataclasses
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from banger.model.action import action_digest
from banger.model.digest import Digest, digest_of
from banger.tasks import Aside, Ref, Task, action_and_inputs

PLAIN: dict[Any, tuple[Any, Any]] = {str: ("a", "b"), int: (1, 2), bool: (False, True), bytes: (b"a", b"b")}


def two_values(hint: Any) -> tuple[Any, Any]:
    """Two different values of a type. Raises TypeError for a type that no task had so far."""
    hint = getattr(hint, "__supertype__", hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return two_values(next(one for one in arguments if one is not type(None)))
    if hint is Ref or origin is Ref:
        return Ref("a"), Ref("b")
    if hint is Aside or origin is Aside:
        one, other = two_values(arguments[0])
        return Aside(one), Aside(other)
    if origin is Literal:
        return arguments[0], arguments[-1]
    if origin is not None:
        one, other = two_values(arguments[-1] if origin in {dict, Mapping} else arguments[0])
        return ({"k": one}, {"k": other}) if origin in {dict, Mapping} else (origin((one,)), origin((one, other)))
    return PLAIN[hint] if hint in PLAIN else _two_of_fields(hint)


def _two_of_fields(hint: Any) -> tuple[Any, Any]:
    if not dataclasses.is_dataclass(hint) and not (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        raise TypeError(f"no example of {hint}")
    make: Any = hint
    values = {name: two_values(inner) for name, inner in fields_of(hint).items()}
    one, other = ({name: pair[place] for name, pair in values.items()} for place in (0, 1))
    return make(**one), make(**other)


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


def is_aside(hint: Any) -> bool:
    """Whether a field of that type is no part of the identity."""
    return hint is Aside or get_origin(hint) is Aside
