"""Turn the daemon's JSON into the dataclasses of banger.model. Fields that this version does not know are ignored."""

import dataclasses
import types
import typing
from functools import cache
from typing import TypeVar, cast

from banger.model.errors import DaemonError

T = TypeVar("T")


def decode(kind: type[T], value: object) -> T:
    """Build a `kind` from parsed JSON. Raises DaemonError that names the field that is missing or of a wrong type."""
    try:
        return cast("T", _value(kind, value, kind.__name__))
    except (TypeError, ValueError) as error:
        raise DaemonError(f"the daemon answered what this version does not understand: {error}") from error


def decode_list(kind: type[T], value: object) -> list[T]:
    """Build a list of `kind`."""
    if not isinstance(value, list):
        raise DaemonError(f"the daemon answered {type(value).__name__}, not a list of {kind.__name__}")
    return [decode(kind, item) for item in value]


@cache
def _hints(kind: type) -> dict[str, object]:
    return typing.get_type_hints(kind)


def _value(kind: object, value: object, where: str) -> object:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    convert = _GENERIC.get(typing.get_origin(kind))
    if convert:
        return convert(typing.get_args(kind), value, where)
    if kind is float and type(value) is int:
        return float(value)
    return _as(kind, value, where)


def _list(arguments: tuple[object, ...], value: object, where: str) -> object:
    if not isinstance(value, list):
        raise TypeError(f"{where}: {type(value).__name__}")
    return [_value(arguments[0], inner, f"{where}[{index}]") for index, inner in enumerate(value)]


def _optional(arguments: tuple[object, ...], value: object, where: str) -> object:
    # The only unions in banger.model are with None.
    (inner,) = (option for option in arguments if option is not types.NoneType)
    return None if value is None else _value(inner, value, where)


def _literal(arguments: tuple[object, ...], value: object, where: str) -> object:
    if value not in arguments:
        raise ValueError(f"{where}: {value!r}")
    return value


_GENERIC = {list: _list, types.UnionType: _optional, typing.Union: _optional, typing.Literal: _literal}


def _dataclass(kind: type, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise TypeError(f"{where}: {type(value).__name__}")
    hints = _hints(kind)
    names = [item.name for item in dataclasses.fields(kind) if item.name in value]
    return kind(**{name: _value(hints[name], value[name], f"{where}.{name}") for name in names})


def _as(kind: object, value: object, where: str) -> object:
    assert isinstance(kind, type), f"{where}: {kind!r} has no decoder"
    if type(value) is not kind:
        raise TypeError(f"{where}: {type(value).__name__}")
    return value
