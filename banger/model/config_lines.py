"""Find the line on which a TOML document says something: the reader of the standard library tells no places.

A document is a sequence of statements (a table's header, or a key with its value), and each is a document by itself.
So lines are gathered until they can be read, which is where a statement ends, whatever strings and lists it holds.
"""

import tomllib
from collections.abc import Iterator
from typing import Any

_STATEMENT_LINES = 200
"""Longest statement that is looked into: each line of it is read as often as there are lines after it."""

Path = tuple[str | int, ...]


def line_of(text: str, path: Path) -> int | None:
    """The number of the line that says `path`, or the nearest thing above it; None if nothing does.

    `text` is a whole document that can be read.
    """
    best: tuple[int, int] | None = None
    for number, said in _said(text):
        depth = _common(said, path)
        is_above = depth == len(said) > 0
        if (is_above or depth == len(path)) and (best is None or depth > best[0]):
            best = depth, number
    return best[1] if best else None


def _common(one: Path, other: Path) -> int:
    depth = 0
    while depth < min(len(one), len(other)) and one[depth] == other[depth]:
        depth += 1
    return depth


def _said(text: str) -> Iterator[tuple[int, Path]]:
    """What each statement is about, with the number of its first line."""
    table: Path = ()
    seen: dict[Path, int] = {}
    for number, statement in _statements(text):
        try:
            said = tomllib.loads(statement)
        except (ValueError, RecursionError):
            return
        keys = _path(said)
        if not keys:
            continue
        if not statement.lstrip().startswith("["):
            yield number, (*table, *keys)
            continue
        table = _numbered(keys, seen, is_list=statement.lstrip().startswith("[["))
        yield number, table


def _statements(text: str) -> Iterator[tuple[int, str]]:
    pending: list[str] = []
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        pending.append(line)
        statement = "".join(pending)
        if not _is_whole(statement):
            if len(pending) > _STATEMENT_LINES:
                return
            continue
        yield number - len(pending) + 1, statement
        pending = []


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except (ValueError, RecursionError):
        return False
    return True


def _path(said: dict[str, object]) -> tuple[str, ...]:
    """The keys of a statement, which has one way down: to its value, or to an empty table."""
    keys: list[str] = []
    value: Any = said
    while True:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        elif isinstance(value, dict) and len(value) == 1:
            ((key, value),) = value.items()
            keys.append(str(key))
        else:
            return tuple(keys)


def _numbered(keys: tuple[str, ...], seen: dict[Path, int], *, is_list: bool) -> Path:
    """The path of a header, with the number of the entry after each list of tables."""
    path: Path = ()
    for depth, key in enumerate(keys):
        path = (*path, key)
        if is_list and depth == len(keys) - 1:
            seen[path] = seen.get(path, -1) + 1
        if path in seen:
            path = (*path, seen[path])
    return path
