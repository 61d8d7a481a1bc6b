"""What may be the name of a branch or a path, how a path is shown, and what of a URL may travel."""

import re
from urllib.parse import urlsplit, urlunsplit

from banger.model.errors import SpecError

_BAD_IN_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_BAD_PART = re.compile(r"(?:\A|/)(?:\.{0,2}|\.git)(?:/|\Z)", re.IGNORECASE | re.ASCII)
"""Empty, ``.``, ``..`` or ``.git``. One search: a checkout may have a million paths."""
_LONGEST_BRANCH = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCP_LIKE = re.compile(r"([A-Za-z0-9._-]+@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(?!:|/?/)(.+)\Z")
_QUOTED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def check_branch(name: str) -> str:
    """Return the name if git allows it for a branch: the rules of git-check-ref-format(1), `--branch`.

    Raises SpecError.
    """
    parts = name.split("/")
    bad = (
        not name
        or name in {"@", "HEAD"}
        or name.startswith("-")
        or name.endswith((".", "/"))
        or _BAD_IN_BRANCH.search(name)
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    )
    if bad or len(name.encode("utf-8", "surrogateescape")) > _LONGEST_BRANCH:
        raise SpecError(f"{name[:80]!r} cannot be the name of a branch", hint="see git help check-ref-format")
    return name


def check_path(path: str, where: str) -> str:
    """Return a path that an index or a tree names, if it stays inside and out of `.git`. Raises SpecError."""
    if _BAD_PART.search(path):
        raise SpecError(f"{where} names {path[:200]!r}, which no file of a repository can be called")
    return path


def display(path: str) -> str:
    """Write a path for people as git does: in C's quotes if it has bytes that a terminal could obey or misread."""
    if path.isprintable() and not {'"', "\\"} & set(path):
        return path
    return '"' + "".join(_show(character) for character in path) + '"'


def _show(character: str) -> str:
    if character in _QUOTED:
        return _QUOTED[character]
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def public_url(url: str) -> str | None:
    """Return where a remote is, without any secret; None if a guest could not reach it anyway.

    Passwords and tokens are in a URL's user part or its query. Local paths and helpers (``ext::``) do not travel.
    """
    if _CONTROL.search(url):
        return None
    if "://" not in url:
        return url if _SCP_LIKE.match(url) and not url.startswith("-") else None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https", "ssh", "git"} or not host or host.startswith("-"):
        return None
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port else ""
    if parts.scheme == "ssh" and parts.username and not parts.username.startswith("-"):
        place = f"{parts.username}@{place}"
    return urlunsplit((parts.scheme, place, parts.path, "", ""))
