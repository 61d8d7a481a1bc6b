"""Trees that file_sync may be pointed at and that try to have it read what was not named, or wait, or fill the disk.

Each case makes its tree in a home and says which path is configured. What must never be read is in `SECRETS`; a secret
that is in the home, but not in what was named, may be read only where the configured path itself is a link to it.
"""

import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

OUTSIDE = b"canary-outside-of-the-home"
BESIDE = b"canary-in-the-home-but-not-named"
WANTED = b"what was named\n"
SECRETS = (OUTSIDE, BESIDE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case may make its tree: `named` is a directory of the home, `other` one beside the home."""

    home: Path
    named: Path
    other: Path

    @classmethod
    def make(cls, root: Path) -> "Place":
        """Make an empty home with a directory to be named, and secrets around it."""
        place = cls(root / "home", root / "home" / "named", root / "other")
        place.named.mkdir(parents=True)
        place.other.mkdir()
        (place.other / "secret").write_bytes(OUTSIDE)
        (place.home / "secret").write_bytes(BESIDE)
        (place.home / "private").mkdir()
        (place.home / "private/secret").write_bytes(BESIDE)
        (place.named / "good").write_bytes(WANTED)
        return place


Make = Callable[[Place], str]


def _targets(place: Place) -> dict[str, str]:
    """What a link can lead to."""
    up = "../" * 40
    return {
        "a file outside": str(place.other / "secret"),
        "a directory outside": str(place.other),
        "a file outside, by a long way up": up + str(place.other / "secret").lstrip("/"),
        "a directory outside, by a long way up": up + str(place.other).lstrip("/"),
        "a file of the home": str(place.home / "secret"),
        "a directory of the home": str(place.home / "private"),
        "a file of the home, relatively": "../secret",
        "the home": str(place.home),
        "the directory above": "..",
        "itself": "link",
        "nothing": "nowhere",
        "the tree": str(place.named),
        "the root directory": "/",
        "shadow": "/etc/shadow",
        "the root by proc": "/proc/self/root",
        "the working directory by proc": "/proc/self/cwd",
        "the environment": "/proc/self/environ",
        "the memory": "/proc/self/mem",
        "a descriptor": "/proc/self/fd/0",
        "a terminal": "/dev/tty",
        "endless zeroes": "/dev/zero",
    }


def _link(place: Place, target: str, *, at: str) -> str:
    link = place.home / at
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(_targets(place)[target])
    return "~/named" if at.startswith("named/") else f"~/{at}"


def _behind_link(place: Place, target: str) -> str:
    (place.home / "link").symlink_to(_targets(place)[target])
    return "~/link/secret"


def _chain(place: Place) -> str:
    (place.named / "a").symlink_to("b")
    (place.named / "b").symlink_to("c")
    (place.named / "c").symlink_to(place.other / "secret")
    return "~/named"


def _chain_named(place: Place) -> str:
    (place.home / "a").symlink_to("b")
    (place.home / "b").symlink_to(place.other)
    (place.other / "c").symlink_to(place.other / "secret")
    return "~/a/c"


def _fifo(place: Place, at: str) -> str:
    os.mkfifo(place.home / at)
    return "~/named" if at.startswith("named/") else f"~/{at}"


def _socket(place: Place, at: str) -> str:
    folder = os.open((place.home / at).parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{Path(at).name}")
    os.close(folder)
    return "~/named" if at.startswith("named/") else f"~/{at}"


def _device(place: Place, at: str) -> str:
    if os.geteuid() == 0:
        os.mknod(place.home / at, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
    else:
        os.mkfifo(place.home / at)
    return "~/named" if at.startswith("named/") else f"~/{at}"


def _hard_link(place: Place, at: str) -> str:
    """Another user's file under a name of ours; where we cannot give files away, a link to it must do."""
    if os.geteuid() == 0:
        os.chown(place.other / "secret", 12345, 12345)
        os.link(place.other / "secret", place.home / at)
    else:
        (place.home / at).symlink_to(place.other / "secret")
    return "~/named" if at.startswith("named/") else f"~/{at}"


def _named(place: Place, name: bytes) -> str:
    path = os.fsencode(place.named) + b"/" + name
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, WANTED)
    os.close(descriptor)
    return "~/named"


def _deep(place: Place, levels: int) -> str:
    folder = os.open(place.named, os.O_PATH)
    for _ in range(levels):
        os.mkdir("d" * 100, dir_fd=folder)
        below = os.open("d" * 100, os.O_PATH, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    return "~/named"


def _huge(place: Place, at: str) -> str:
    with (place.home / at).open("wb") as file:
        file.truncate(5 * 1024**4)
    return "~/named" if at.startswith("named/") else f"~/{at}"


def _as_text(path: str) -> Make:
    return lambda place: path.replace("OTHER", str(place.other)).replace("HOME", str(place.home))


_NO_LINKS = Place(Path("/h"), Path("/h/n"), Path("/o"))
NAMES = (
    b"new\nline", b"\x1b]0;title\x07", b"-rf", b"--checkpoint-action=exec=sh", b"\xff\xfe", b"a'b\"c`d$(e)", b" ", b"*",
    b"x" * 255, "\N{RIGHT-TO-LEFT OVERRIDE}txt".encode(), b"...", b"\\", b"good\r",
)  # fmt: skip

CASES: dict[str, Make] = {
    **{f"link in the tree: {name}": partial(_link, target=name, at="named/link") for name in _targets(_NO_LINKS)},
    **{f"link far down: {name}": partial(_link, target=name, at="named/a/b/link") for name in _targets(_NO_LINKS)},
    **{f"link that is named: {name}": partial(_link, target=name, at="link") for name in _targets(_NO_LINKS)},
    **{
        f"name behind a link: {name}": partial(_behind_link, target=name)
        for name in ("a directory outside", "a directory of the home", "the root by proc", "a file outside", "itself")
    },
    "links to links": _chain,
    "links to links, named": _chain_named,
    **{f"FIFO at {at}": partial(_fifo, at=at) for at in ("named/pipe", "pipe")},
    **{f"socket at {at}": partial(_socket, at=at) for at in ("named/socket", "socket")},
    **{f"device at {at}": partial(_device, at=at) for at in ("named/zero", "zero")},
    **{f"hard link at {at}": partial(_hard_link, at=at) for at in ("named/hard", "hard")},
    **{f"file called {name!r}"[:60]: partial(_named, name=name) for name in NAMES},
    "30 levels": partial(_deep, levels=30),
    "a path that is too long": partial(_deep, levels=60),
    "a file of 5 TiB": partial(_huge, at="named/huge"),
    "a file of 5 TiB, named": partial(_huge, at="huge"),
    "a whole path outside": _as_text("OTHER/secret"),
    "a directory outside": _as_text("OTHER"),
    "a whole path that begins like the home": _as_text("HOME/../other/secret"),
    "the home itself": _as_text("HOME"),
    "the home, by a dot": _as_text("~/."),
    "the root directory": _as_text("/"),
    "shadow": _as_text("/etc/shadow"),
    "this process": _as_text("/proc/self/environ"),
    "the root by proc": _as_text("/proc/self/root/etc/shadow"),
}

LEADS_INTO_HOME = {"a file of the home", "a directory of the home", "a file of the home, relatively"}
"""Links that may be followed where the entry names them."""


def may_show(case: str) -> tuple[bytes, ...]:
    """The secrets that a case may show, since that very path was named."""
    kind, _, target = case.partition(": ")
    is_named = kind == "link that is named" and target in LEADS_INTO_HOME
    return (BESIDE,) if is_named or case == "name behind a link: a directory of the home" else ()
