"""Read the text of config.toml, and what the environment says instead. Strict: every key is known and every value is
right, or one SpecError says which line is wrong, and why.
"""

import re
import shlex
from collections.abc import Iterable, Mapping

from banger.model.config import Config, Origin
from banger.model.config_keys import KEYS, TABLES, Key
from banger.model.config_values import WrongValueError, shown
from banger.model.errors import SpecError

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_PLACE = re.compile(r"(.*) \(at (?:line ([0-9]+), column [0-9]+|end of document)\)\Z", re.DOTALL)

Way = tuple[str | int, ...]


def parse_config(text: str, *, path: str, environ: Mapping[str, str], places: bool = False) -> Config:
    """Read a configuration. `path`: of its file, for messages; `places`: find the line of each key too.

    Raises SpecError.
    """
    home = environ.get("HOME", "")
    found = _Reader(text, path).values(home, places=places) if text.strip() else {}
    for key in KEYS:
        given = environ.get(key.env) if key.env else None
        if given:
            assert key.env
            found[key] = _from_environment(key, key.env, given, home), Origin("env", key.env)
    values = {key.field: value for key, (value, _origin) in found.items()}
    origins = {key.name: origin for key, (_value, origin) in found.items()}
    return Config(path=path, origins=origins, **values)  # type: ignore[arg-type] # each key reads its field's type


def _from_environment(key: Key, variable: str, given: str, home: str) -> object:
    try:
        return key.read(given, home)
    except WrongValueError as wrong:
        raise SpecError(f"{variable}: {wrong.reason}", hint=f"unset {variable}") from None


class _Reader:
    def __init__(self, text: str, path: str) -> None:
        self._text = text
        self._path = path

    def values(self, home: str, *, places: bool) -> dict[Key, tuple[object, Origin]]:
        document = self._document()
        found = {}
        for key, value in self._keys(document):
            try:
                checked = key.read(value, home)
            except WrongValueError as wrong:
                way = (*key.name.split("."), *wrong.below)
                raise self._error(way, wrong.reason, wrong.known) from None
            found[key] = checked, Origin("file", self._place((*key.name.split("."),)) if places else self._path)
        return found

    def _keys(self, document: Mapping[str, object]) -> Iterable[tuple[Key, object]]:
        """Every key that is there, in the order of the schema. Raises SpecError for one that nobody knows."""
        given: dict[Way, object] = {}
        for name, value in document.items():
            if name not in TABLES:
                given[name,] = value
            elif isinstance(value, Mapping):
                given |= {(name, inner): one for inner, one in value.items()}
            else:
                raise self._error((name,), f"is not a table: write [{name}]")
        known = {tuple(key.name.split(".")) for key in KEYS}
        for way in given:
            if way not in known:
                raise self._error(way, "there is no such key", tuple(_beside(way)))
        return [(key, given[way]) for key in KEYS if (way := tuple(key.name.split("."))) in given]

    def _document(self) -> dict[str, object]:
        import tomllib

        try:
            return tomllib.loads(self._text)
        except RecursionError:
            raise SpecError(f"{self._path}: is nested too deeply", hint=_edit(self._path, None)) from None
        except ValueError as error:
            said = str(error)
            match = _PLACE.match(said)
            line = (int(match[2]) if match[2] else len(self._text.splitlines())) if match else None
            place = f"{self._path}:{line}" if line else self._path
            message = f"{place}: is not TOML: {(match[1] if match else said)[:200]}"
            raise SpecError(message, hint=_edit(self._path, line)) from None

    def _error(self, way: Way, reason: str, known: tuple[str, ...] = ()) -> SpecError:
        near = _nearest(str(way[-1]), known)
        mean = f"; did you mean {near}?" if near else ""
        line = self._line(way)
        place = f"{self._path}:{line}" if line else self._path
        return SpecError(f"{place}: {dotted(way)}: {reason}{mean}", hint=_edit(self._path, line))

    def _place(self, way: Way) -> str:
        line = self._line(way)
        return f"{self._path}:{line}" if line else self._path

    def _line(self, way: Way) -> int | None:
        from banger.model.config_lines import line_of

        return line_of(self._text, way)


def dotted(way: Way) -> str:
    """A way through the document as people write it: `file_sync[2].guest`."""
    text = ""
    for step in way:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step[:80] if _BARE.match(step) else shown(step))
    return text


def _beside(way: Way) -> list[str]:
    """The names that may stand where a wrong one does, and for a wrong one at the top those in tables too."""
    names = [key.name for key in KEYS]
    if len(way) > 1:
        return [name.partition(".")[2] for name in names if name.startswith(f"{way[0]}.")]
    return [*sorted({name.partition(".")[0] for name in names}), *(name for name in names if "." in name)]


def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    if not known:
        return None
    from difflib import get_close_matches

    # A key that belongs into a table is often written at the top.
    ends = {one.rpartition(".")[2]: one for one in sorted(known, reverse=True)}
    found = get_close_matches(name[:100], [*known, *ends], 1, 0.6)
    return ends.get(found[0], found[0]) if found else None


def _edit(path: str, line: int | None) -> str:
    return f'"${{EDITOR:-vi}}" {f"+{line} " if line else ""}{shlex.quote(path)}'
