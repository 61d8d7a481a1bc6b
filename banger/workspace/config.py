"""Read git's configuration files without git: a few values, no program run, no include that a repository asks for.

The syntax is that of git-config(1), "Syntax". The user's own files may include others (`include.path`, and
`includeIf.gitdir:`, `gitdir/i:` by the repository's place); `onbranch:` and `hasconfig:` are passed over. A
repository's file includes nothing.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from banger.model.errors import SpecError

Values = dict[str, list[str]]
"""Key to values in file order. Section and variable are lower case, the subsection is as written."""

FILE_LIMIT_BYTES = 1024 * 1024
_INCLUDE_DEPTH = 10
_SECTION = re.compile(r'\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\\n]|\\.)*)")?\]')
_VARIABLE = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*")
_ESCAPES = {None: "", "\n": "", "n": "\n", "t": "\t", "b": "\b", '"': '"', "\\": "\\"}
_BARE = re.compile(
    r"""\\\r?(?P<escape>[\s\S])|(?P<quote>")|(?P<comment>[#;][^\n]*)|(?P<blank>[^\S\n]+)|(?P<text>[^"\\\n#;\s]+)"""
)
_QUOTED = re.compile(r"""\\\r?(?P<escape>[\s\S])|(?P<quote>")|(?P<text>[^"\\\n]+)""")
_FALSE = frozenset({"false", "no", "off", "0", ""})


def parse_config(text: str, where: str) -> Values:
    """Read a configuration file's text. Raises SpecError that names `where` and the line."""
    values: Values = {}
    for key, value in _pairs(text, where):
        values.setdefault(key, []).append(value)
    return values


def is_true(values: Values, key: str, *, default: bool) -> bool:
    """Read a boolean as git does; the last one counts."""
    found = values.get(key)
    return found[-1].lower() not in _FALSE if found else default


def read_user_config(environ: Mapping[str, str], git_dir: Path) -> Values:
    """Read what the user configured for all repositories, in git's order: the XDG file, then ~/.gitconfig.

    `git_dir` decides the conditional includes. A file that is missing or cannot be read counts as empty; raises
    SpecError for one that is not written as git's configuration is.
    """
    home = environ.get("HOME", "")
    values: Values = {}
    if home.startswith("/"):
        for path in (config_home(environ) / "git" / "config", Path(home) / ".gitconfig"):
            _read_into(values, path, Path(home), git_dir, 0)
    return values


def config_home(environ: Mapping[str, str]) -> Path:
    """Return `XDG_CONFIG_HOME`, or ~/.config if it is not an absolute path."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    return Path(folder) if folder.startswith("/") else Path(environ.get("HOME", "/nonexistent")) / ".config"


def expand_user(text: str, home: Path) -> Path:
    """Expand a leading ``~/`` as git does in a path-valued variable."""
    return home / text[2:] if text.startswith("~/") else Path(text)


def _read_into(values: Values, path: Path, home: Path, git_dir: Path, depth: int) -> None:
    text = read_user_file(path) if depth <= _INCLUDE_DEPTH else None
    if text is None:
        return
    for key, value in _pairs(text, str(path)):
        values.setdefault(key, []).append(value)
        if _includes(key, path, home, git_dir):
            _read_into(values, path.parent / expand_user(value, home), home, git_dir, depth + 1)


def read_user_file(path: Path) -> str | None:
    """Return a file of the user's own as text; None if it is absent, not a regular file, unreadable or too large."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = file.read(FILE_LIMIT_BYTES + 1)
    return None if len(content) > FILE_LIMIT_BYTES else content.decode("utf-8", "surrogateescape")


def _includes(key: str, path: Path, home: Path, git_dir: Path) -> bool:
    if key == "include.path":
        return True
    if not (key.startswith("includeif.") and key.endswith(".path")):
        return False
    kind, _, pattern = key[len("includeif.") : -len(".path")].partition(":")
    if kind not in {"gitdir", "gitdir/i"}:
        return False
    if pattern.startswith("~/"):
        pattern = str(home / pattern[2:]) + ("/" if pattern.endswith("/") else "")
    elif pattern.startswith("./"):
        pattern = f"{path.parent}/{pattern[2:]}"
    elif not pattern.startswith("/"):
        pattern = "**/" + pattern
    if pattern.endswith("/"):
        pattern += "**"
    flags = re.IGNORECASE if kind == "gitdir/i" else 0
    return any(re.fullmatch(_glob(pattern), str(place), flags) for place in {git_dir, git_dir.resolve()})


def _glob(pattern: str) -> str:
    """Translate a gitignore(5) pattern that holds slashes to a regular expression."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part) or re.escape(part) for part in parts)


def _pairs(text: str, where: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    section, position = "", 1 if text.startswith("\ufeff") else 0
    while position < len(text):
        character = text[position]
        if character.isspace():
            position += 1
        elif character in "#;":
            position = _line_end(text, position)
        elif match := _SECTION.match(text, position):
            section, position = _section_name(match), match.end()
        elif section and (match := _VARIABLE.match(text, position)):
            value, position = _read_value(text, match.end(), _complain(text, where))
            found.append((f"{section}.{match[1].lower()}", value))
        else:
            raise _complain(text, where)(position)
    return found


def _complain(text: str, where: str) -> Callable[[int], SpecError]:
    return lambda position: SpecError(f"{where}: bad git configuration in line {text.count(chr(10), 0, position) + 1}")


def _section_name(match: re.Match[str]) -> str:
    name, subsection = match[1], match[2]
    if subsection is None:
        section, dot, rest = name.partition(".")
        return section.lower() + dot + rest.lower()
    return name.lower() + "." + re.sub(r"\\(.)", r"\1", subsection)


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _read_value(text: str, position: int, complain: Callable[[int], SpecError]) -> tuple[str, int]:
    """Read what follows a variable's name: nothing (true), or ``=`` and a value with quotes, escapes, continuations."""
    if position >= len(text) or text[position] in "\r\n#;":
        return "true", position
    if text[position] != "=":
        raise complain(position)
    out, blanks, quoted = "", "", False
    position += 1
    while position < len(text) and text[position] != "\n":
        match = (_QUOTED if quoted else _BARE).match(text, position)
        if match is None or match["escape"] not in _ESCAPES:
            raise complain(position)
        position = match.end()
        if match.lastgroup == "blank":
            blanks += match[0] if out else ""
        elif match.lastgroup != "comment":
            out += blanks + (match["text"] or _ESCAPES[match["escape"]])
            blanks, quoted = "", quoted != bool(match["quote"])
    if quoted:
        raise complain(position - 1)
    return out, position
