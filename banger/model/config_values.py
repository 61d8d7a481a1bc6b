"""Checks of single values in the configuration. Each takes what TOML has and the user's home, and returns what the
program uses; WrongValueError says what is wrong, and where below the key.
"""

import re
from collections.abc import Callable, Mapping

from banger.model.config import ROOT_HOME, FileSync
from banger.model.errors import SpecError
from banger.model.limits import DISK_BYTES, MEMORY_MIB, VCPUS
from banger.model.vm import MIB, format_size, parse_size

_SHOWN = 60
_PATH_LIMIT = 4000
_FILES_LIMIT = 200
_MIRRORS_LIMIT = 100
_IDLE_LIMIT_S = 30 * 86400
_MODE = re.compile(r"0?[0-7]{3}\Z", re.ASCII)
_REGISTRY = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?\Z", re.ASCII)
_MIRROR = re.compile(
    r"(https://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])|http://(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]))"
    r"(:[0-9]{1,5})?(/[!-~]*)?\Z",
    re.ASCII,
)
_SWITCHES = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}
AUTHORIZED_KEYS = f"{ROOT_HOME}/.ssh/authorized_keys"


class WrongValueError(Exception):
    """`below`: the way from the key to what is wrong, such as 2 and "guest"; `known`: which names may stand there."""

    def __init__(self, reason: str, *below: str | int, known: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.below = below
        self.known = known


def shown(value: object) -> str:
    """A value for a message: short, and on one line."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _text(value: object, what: str) -> str:
    if type(value) is not str:
        raise WrongValueError(f"{shown(value)} is not {what}: write it in quotes")
    if not value:
        raise WrongValueError("is empty")
    if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in value):  # noqa: PLR2004
        raise WrongValueError(f"{shown(value)} holds a control character")
    return value


def check_path(value: object) -> str:
    """A path of the host that is absolute or begins with `~/`, without `..`."""
    text = _text(value, "a path")
    if len(text) > _PATH_LIMIT:
        raise WrongValueError(f"is longer than {_PATH_LIMIT} characters")
    if text.startswith("~") and not text.startswith("~/"):
        raise WrongValueError(f"{shown(text)}: only your own home can be meant: write ~/… or a whole path")
    if not text.startswith(("/", "~/")):
        raise WrongValueError(f"{shown(text)} is a relative path: begin it with / or ~/")
    if ".." in text.split("/"):
        raise WrongValueError(f"{shown(text)} has a '..' in it")
    return text


def read_path(value: object, home: str) -> str:
    """A path, made absolute."""
    text = check_path(value)
    if not text.startswith("~/"):
        return text
    if not home.startswith("/"):
        raise WrongValueError(f"{shown(text)}: HOME is not set, so ~/ means nothing")
    return f"{home.rstrip('/')}/{text[2:]}"


read_catalog = read_path


def read_switch(value: object, _home: str) -> bool:
    """True or false; on and off from the environment."""
    if type(value) is bool:
        return value
    if type(value) is str and value in _SWITCHES:
        return _SWITCHES[value]
    raise WrongValueError(f"{shown(value)} is neither true nor false")


def read_idle(value: object, _home: str) -> float:
    """Seconds."""
    number: float | None = None
    if type(value) in {int, float}:
        number = float(value)  # type: ignore[arg-type]
    elif type(value) is str and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value, re.ASCII):
        number = float(value)
    if number is None or not 0 < number <= _IDLE_LIMIT_S:
        raise WrongValueError(f"{shown(value)} is not a number of seconds above 0 and up to {_IDLE_LIMIT_S}")
    return number


def read_image(value: object, _home: str) -> str:
    """Any text; which images there are is known elsewhere."""
    text = _text(value, "the name of an image")
    if len(text) > 1024:  # noqa: PLR2004 - longer than any reference
        raise WrongValueError("is too long")
    return text


def read_vcpu(value: object, _home: str) -> int:
    """A number of CPUs."""
    number = _whole(value)
    if number is None:
        raise WrongValueError(f"{shown(value)} is not a whole number")
    return _in_range(number, VCPUS, str(number), str)


def read_memory(value: object, _home: str) -> int:
    """MiB, from a number of them or a size."""
    number = _whole(value)
    if number is None:
        number = _size(value, "a number of MiB, or a size such as 2G") // MIB
    return _in_range(number, MEMORY_MIB, f"{number} MiB", lambda bound: format_size(bound * MIB))


def read_disk_size(value: object, _home: str) -> int:
    """Bytes, from a size."""
    number = _size(value, "a size such as 8G, in quotes")
    return _in_range(number, DISK_BYTES, format_size(number), format_size)


def _whole(value: object) -> int | None:
    if type(value) is int:
        return value
    # The environment has only text.
    return int(value) if type(value) is str and re.fullmatch("[0-9]{1,9}", value, re.ASCII) else None


def _size(value: object, what: str) -> int:
    if type(value) is not str or not value.isascii():
        raise WrongValueError(f"{shown(value)} is not {what}")
    try:
        return parse_size(value)
    except SpecError:
        raise WrongValueError(f"{shown(value)} is not {what}") from None


def _in_range(number: int, bounds: tuple[int, int], said: str, write: Callable[[int], str]) -> int:
    if not bounds[0] <= number <= bounds[1]:
        raise WrongValueError(f"{said[:_SHOWN]} is out of range: {write(bounds[0])} to {write(bounds[1])}")
    return number


def read_mirrors(value: object, _home: str) -> dict[str, tuple[str, ...]]:
    """Base URLs by registry."""
    if not isinstance(value, Mapping):
        raise WrongValueError('is not a table: write [mirrors], and below it "registry" = ["https://…"]')
    if len(value) > _MIRRORS_LIMIT:
        raise WrongValueError(f"has more than {_MIRRORS_LIMIT} registries")
    return {_registry(name): _mirror_list(name, urls) for name, urls in value.items()}


def _registry(name: str) -> str:
    if not _REGISTRY.match(name):
        raise WrongValueError(f"{shown(name)} is not the name of a registry, such as docker.io or host:5000", name)
    return name


def _mirror_list(name: str, urls: object) -> tuple[str, ...]:
    if not isinstance(urls, list) or len(urls) > _MIRRORS_LIMIT:
        raise WrongValueError('is not a list of URLs: write ["https://…"]', name)
    for number, url in enumerate(urls):
        if type(url) is not str or not _MIRROR.match(url) or "?" in url or "#" in url:
            reason = "is not the base URL of a mirror: https://… (plain http:// only on this machine)"
            raise WrongValueError(f"{shown(url)} {reason}", name, number)
    return tuple(url.rstrip("/") for url in urls)


def read_file_sync(value: object, _home: str) -> tuple[FileSync, ...]:
    """The entries; what their host paths lead to is seen when they are copied."""
    if not isinstance(value, list):
        raise WrongValueError("is not a list of tables: write [[file_sync]] above each entry")
    if len(value) > _FILES_LIMIT:
        raise WrongValueError(f"has more than {_FILES_LIMIT} entries")
    return tuple(_entry(number, entry) for number, entry in enumerate(value))


def _entry(number: int, entry: object) -> FileSync:
    if not isinstance(entry, Mapping):
        raise WrongValueError("is not a table: write [[file_sync]] above each entry", number)
    names = ("host", "guest", "mode")
    for name in entry:
        if name not in names:
            raise WrongValueError("there is no such key", number, name, known=names)
    for name in names[:2]:
        if name not in entry:
            raise WrongValueError(f"has no {name!r}", number)
    found: dict[str, object] = {}
    for name, check in (("host", check_path), ("guest", guest_path), ("mode", _mode)):
        try:
            found[name] = check(entry[name]) if name in entry else None
        except WrongValueError as wrong:
            raise WrongValueError(wrong.reason, number, name) from None
    return FileSync(**found)  # type: ignore[arg-type] # each check returns its field's type


def guest_path(value: object) -> str:
    """A path below /root, made absolute and free of `.` and empty parts."""
    text = check_path(value)
    inside = text[1:] if text.startswith("~/") else text.removeprefix(ROOT_HOME)
    parts = [part for part in inside.split("/") if part not in {"", "."}]
    if inside == text or not inside.startswith("/"):
        raise WrongValueError(f"{shown(text)} is not below root's home: begin it with ~/ or {ROOT_HOME}/")
    if not parts:
        raise WrongValueError(f"{shown(text)} is root's home itself: name something in it")
    path = "/".join([ROOT_HOME, *parts])
    if path == AUTHORIZED_KEYS:
        raise WrongValueError(f"{shown(text)} is where banger puts the key that it logs in with")
    return path


def _mode(value: object) -> int:
    if type(value) is not str or not _MODE.match(value):
        raise WrongValueError(f'{shown(value)} is not a file mode: write it in octal and in quotes, such as "0600"')
    return int(value, 8)
