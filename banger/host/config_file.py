"""Find and read the user's configuration. Writes nothing, ever."""

import os
import stat
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from banger.model.config import Config
from banger.model.errors import SpecError

VARIABLE = "BANGER_CONFIG"
NAME = "banger/config.toml"
_NO_KEYS = frozenset({VARIABLE, "BANGER_STATE_DIR"})
"""Variables that are no key of the configuration."""
_LIMIT_BYTES = 1024 * 1024
_OTHERS_MAY_WRITE = 0o002


def config_path(environ: Mapping[str, str]) -> Path | None:
    """Where the file is, or would be: $BANGER_CONFIG, else $XDG_CONFIG_HOME/banger, else ~/.config/banger.

    None without a home. Raises SpecError if $BANGER_CONFIG is a relative path.
    """
    explicit = environ.get(VARIABLE)
    if explicit:
        if not explicit.startswith("/"):
            raise SpecError(f"{VARIABLE} is {explicit!r}: it must be an absolute path", hint=f"unset {VARIABLE}")
        return Path(explicit)
    for name, inside in (("XDG_CONFIG_HOME", ""), ("HOME", ".config")):
        folder = environ.get(name, "")
        if folder.startswith("/"):
            return Path(folder) / inside / NAME
    return None


def load_config(environ: Mapping[str, str], *, places: bool = False) -> Config:
    """Read the configuration of this user; without a file, what the environment says. Raises SpecError."""
    path = config_path(environ)
    text = "" if path is None else _read(path, must_be=bool(environ.get(VARIABLE)))
    shown = str(path or f"~/.config/{NAME}")
    if not text and not any(name.startswith("BANGER_") for name in environ if name not in _NO_KEYS):
        return Config(shown)  # most users, most of the time: nothing to check, and nothing to import for it
    from banger.model.config_text import parse_config

    return parse_config(text, path=shown, environ=environ, places=places)


@cache
def _of_this_process() -> "ConfigSource":
    return ConfigSource(os.environ)


def user_config() -> Config:
    """The configuration of who runs this process, as it is now. Raises SpecError while there is something wrong."""
    return _of_this_process().current()


def _read(path: Path, *, must_be: bool) -> str:
    try:
        # A FIFO in its place must not hold anybody up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        if must_be:
            raise SpecError(
                f"{path}: there is no such file, but {VARIABLE} names it", hint=f"unset {VARIABLE}"
            ) from None
        return ""
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}", hint=f"ls -l {path}") from error
    try:
        problem = _problem(os.fstat(descriptor))
        if problem:
            raise SpecError(f"{path}: {problem}", hint=f"ls -lL {path}")
        return _decoded(path, _content(path, descriptor))
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}", hint=f"ls -l {path}") from error
    finally:
        os.close(descriptor)


def _problem(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "is not a file"
    if status.st_uid not in {0, os.geteuid()}:
        return f"belongs to uid {status.st_uid}, and not to you"
    if status.st_mode & _OTHERS_MAY_WRITE:
        return f"every user may write to it (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _content(path: Path, descriptor: int) -> bytes:
    content = bytearray()
    while chunk := os.read(descriptor, _LIMIT_BYTES + 1 - len(content)):
        content += chunk
        if len(content) > _LIMIT_BYTES:
            raise SpecError(f"{path}: is larger than {_LIMIT_BYTES // 1024} KiB", hint=f"ls -lL {path}")
    return bytes(content)


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(f"{path}:{line}: is not UTF-8", hint=f"file {path}") from error


class ConfigSource:
    """The configuration as it is now, for who lives long: read again when its file has changed."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._stamp: tuple[int, ...] | None = None
        self._config: Config | None = None

    def current(self) -> Config:
        """The configuration. Raises SpecError while there is something wrong with it."""
        stamp = self._look()
        if self._config is None or stamp != self._stamp:
            self._config = load_config(self._environ)
            self._stamp = stamp
        return self._config

    def _look(self) -> tuple[int, ...] | None:
        path = config_path(self._environ)
        try:
            status = path.stat() if path else None
        except OSError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status else None
