"""Traps that never end: FIFOs, devices, sockets, links in circles, and a great deal of everything."""

import os
import socket
from functools import partial
from pathlib import Path

from tests.unit.workspace.hostile.trap import Ground, Trap, config_trap


def _fifo(name: str, ground: Ground) -> None:
    path = ground.repo.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _git_fifo(ground: Ground) -> None:
    ground.git_dir.rename(ground.folder / "moved.git")
    os.mkfifo(ground.git_dir)


def _fifo_pack(ground: Ground) -> None:
    name = f".git/objects/pack/pack-{'a' * 40}"
    _fifo(f"{name}.idx", ground)
    _fifo(f"{name}.pack", ground)
    _fifo(f"{name}.keep", ground)


def _socket(name: str, ground: Ground) -> None:
    path = ground.repo.root / name
    path.unlink(missing_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def _link(name: str, target: str, ground: Ground) -> None:
    path = ground.repo.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _config_fifo(text: str, ground: Ground) -> None:
    os.mkfifo(ground.folder / "fifo")
    os.mkfifo(ground.repo.root / "fifo")
    ground.config("\n" + text.replace("@", str(ground.folder)) + "\n")


def _big(name: str, ground: Ground) -> None:
    path = ground.repo.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.truncate(1 << 40)


def _many_sections(ground: Ground) -> None:
    ground.config("".join(f"[a{number}]\n\tb = {number}\n" for number in range(40_000)))


def _deep(ground: Ground) -> None:
    descriptor = os.open(ground.repo.root, os.O_RDONLY)
    try:
        for _ in range(600):
            os.mkdir("d" * 8, dir_fd=descriptor)
            below = os.open("d" * 8, os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    finally:
        os.close(descriptor)


def _ref_circle(ground: Ground) -> None:
    (ground.git_dir / "refs/heads/main").write_text("ref: refs/heads/other\n")
    (ground.git_dir / "refs/heads/other").write_text("ref: refs/heads/main\n")


def _slow_ignore(ground: Ground) -> None:
    """Stars that a careless matcher tries in every combination."""
    ground.repo.write(".gitignore", "*a" * 40 + "b\n")
    ground.repo.write("a" * 200, "x")


def _unreadable(ground: Ground) -> None:
    (ground.repo.root / "untracked").unlink()
    ground.repo.write("README", "changed").chmod(0)


_OWN_FILES = (
    "HEAD",
    "index",
    "config",
    "packed-refs",
    "shallow",
    "info/exclude",
    "info/attributes",
    "info/sparse-checkout",
    "objects/info/alternates",
    "objects/info/commit-graph",
)

TRAPS = (
    *(Trap(f".git/{name} is a FIFO", partial(_fifo, f".git/{name}"), "FIFO, a device") for name in _OWN_FILES),
    Trap("src/.gitattributes is a FIFO", partial(_fifo, "src/.gitattributes")),
    Trap(".git/objects/pack holds FIFOs", _fifo_pack),
    Trap(".gitignore is a FIFO", partial(_fifo, ".gitignore"), "FIFO|finish", hangs=True),
    Trap("src/.gitignore is a FIFO", partial(_fifo, "src/.gitignore"), "FIFO|finish", hangs=True),
    Trap(".git/refs/heads/main is a FIFO", partial(_fifo, ".git/refs/heads/main"), "finish", hangs=True),
    Trap(".git/config.worktree is a FIFO", partial(_fifo, ".git/config.worktree")),
    Trap(".git/commondir is a FIFO", partial(_fifo, ".git/commondir"), "commondir"),
    Trap(".git/info/grafts is a FIFO", partial(_fifo, ".git/info/grafts")),
    Trap(".git is a FIFO", _git_fifo, "neither"),
    Trap(".gitattributes is a FIFO", partial(_fifo, ".gitattributes"), "FIFO"),
    Trap("tracked file is a FIFO", partial(_fifo, "README"), "FIFO"),
    Trap("untracked FIFO", partial(_fifo, "pipe")),
    Trap("tracked file is a socket", partial(_socket, "README"), "FIFO, a socket"),
    Trap("untracked socket", partial(_socket, "socket")),
    Trap(
        "include.path is a FIFO", partial(_config_fifo, '[include]\n\tpath = "@/fifo"'), "finish|git cannot", hangs=True
    ),
    Trap("include.path is a FIFO inside", partial(_config_fifo, "[include]\n\tpath = ../fifo"), "finish", hangs=True),
    Trap("core.excludesFile is a FIFO", partial(_config_fifo, '[core]\n\texcludesFile = "@/repo/fifo"')),
    Trap("core.attributesFile is a FIFO", partial(_config_fifo, '[core]\n\tattributesFile = "@/repo/fifo"')),
    config_trap("include.path is /dev/zero", "[include]\n\tpath = /dev/zero", says="git cannot read"),
    config_trap("include.path is the configuration itself", "[include]\n\tpath = config", says="git cannot read"),
    config_trap("core.excludesFile is /dev/zero", "[core]\n\texcludesFile = /dev/zero"),
    Trap(".gitignore is a link to /dev/zero", partial(_link, ".gitignore", "/dev/zero")),
    Trap(".git/info/exclude is a link to /dev/zero", partial(_link, ".git/info/exclude", "/dev/zero"), "symbolic link"),
    Trap("tracked file is a link to itself", partial(_link, "README", "README")),
    Trap("tracked file is a link to /dev/zero", partial(_link, "README", "/dev/zero")),
    Trap("tracked directories in a circle", partial(_link, "around", "."), None),
    Trap(".git/config is large", partial(_big, ".git/config"), "larger"),
    Trap(".git/HEAD is large", partial(_big, ".git/HEAD"), "larger"),
    Trap(".git/index is large", partial(_big, ".git/index"), "larger"),
    Trap(".git/shallow is large", partial(_big, ".git/shallow"), "larger"),
    Trap(".git/objects/info/alternates is large", partial(_big, ".git/objects/info/alternates"), "larger"),
    Trap(".git/config has many sections", _many_sections),
    Trap("directories very deep", _deep, None),
    Trap("branches that name each other", _ref_circle, "."),
    Trap(".gitignore that a careless matcher never ends with", _slow_ignore),
)
