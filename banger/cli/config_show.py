"""`banger config show`: what is configured, and where each value comes from. Asks no daemon, writes nothing."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from banger.cli.options import as_json
from banger.cli.output import print_json, print_table
from banger.cli.sizes import vm_defaults
from banger.host.config_file import load_config
from banger.model.config import ROOT_HOME, Config, FileSync
from banger.model.config_keys import KEYS

_DEFAULTS: dict[str, object] = {"templates": True, "daemon_idle_s": 900.0}
"""What can be said in a word."""
_SOURCES = {"auto": "auto", "builtin": "default"}


@dataclass(frozen=True, slots=True)
class Row:
    """A key, its value, and where that comes from: a place in the file, a variable, `auto` or `default`."""

    key: str
    value: object
    origin: str


@click.command("show")
@as_json
def command(*, json_output: bool) -> None:
    """Show every key with its value and where that comes from.

    A flag of a command goes before a variable of the environment, that before the file, and that before the default.
    """
    config = load_config(os.environ, places=True)
    rows = rows_of(config)
    is_there = Path(config.path).exists()
    if json_output:
        print_json({"path": config.path, "exists": is_there, "keys": [asdict(row) for row in rows]})
        return
    print(f"{config.path}{'' if is_there else ' (not there)'}\n")
    print_table(("KEY", "VALUE", "FROM"), [(row.key, _shown(row.value), row.origin) for row in rows])


def rows_of(config: Config) -> list[Row]:
    """Every key. What holds entries of its own has a row for each; one that is empty has a row too."""
    defaults = {f"vm_defaults.{one.name}": one for one in vm_defaults(config)}
    found: list[Row] = []
    for key in KEYS:
        origin = config.origins.get(key.name)
        default = defaults.get(key.name)
        if default:
            found.append(Row(key.name, default.value, default.where or _SOURCES[default.source]))
        elif origin is None:
            found.append(Row(key.name, _DEFAULTS.get(key.name), "default"))
        else:
            found += [Row(name, value, origin.where) for name, value in _entries(key.name, getattr(config, key.field))]
    return found


def _entries(key: str, value: object) -> list[tuple[str, object]]:
    """What is in a key, by name: of most of them, one value."""
    if isinstance(value, Mapping) and value:
        return [(f'{key}."{name}"', list(urls)) for name, urls in sorted(value.items())]
    if isinstance(value, tuple) and value:
        return [(f"{key}[{number}]", _entry(entry)) for number, entry in enumerate(value)]
    return [(key, value or None if isinstance(value, Mapping | tuple) else value)]


def _entry(entry: FileSync) -> dict[str, str | None]:
    mode = None if entry.mode is None else f"{entry.mode:04o}"
    return {"host": entry.host, "guest": entry.guest, "mode": mode}


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        mode = "" if value["mode"] is None else f" (mode {value['mode']})"
        return f"{value['host']} -> {value['guest'].replace(ROOT_HOME, '~', 1)}{mode}"
    return str(value)
