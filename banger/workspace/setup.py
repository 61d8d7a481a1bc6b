"""What prepares a VM for a checkout: a command, and the files of the checkout that it reads and nothing else.

The command comes from the user or from `[setup]` of the repository's banger.toml, which nobody vouches for. All that it
can do is to run in a guest, on files that git tracks: it names no image, no size, no place of the host.
"""

import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread
import msgspec

from banger.model.errors import SpecError
from banger.model.vm import SetupRequest
from banger.workspace.beneath import Tree, open_tree
from banger.workspace.history import read_index
from banger.workspace.locate import locate
from banger.workspace.names import check_path, display

CONFIG = "banger.toml"
CONFIG_LIMIT_BYTES = 64 * 1024
FILE_LIMIT_BYTES = 16 * 1024 * 1024
COMMAND_LONGEST = 4096
FILES_MOST = 100

_KNOWN: tuple[tuple[str, ...], ...] = (
    ("package-lock.json", "package.json"),
    ("npm-shrinkwrap.json", "package.json"),
    ("yarn.lock", "package.json"),
    ("pnpm-lock.yaml", "package.json"),
    ("bun.lock", "package.json"),
    ("uv.lock", "pyproject.toml"),
    ("poetry.lock", "pyproject.toml"),
    ("pdm.lock", "pyproject.toml"),
    ("Pipfile.lock", "Pipfile"),
    ("Cargo.lock", "Cargo.toml"),
    ("go.sum", "go.mod"),
    ("Gemfile.lock", "Gemfile"),
    ("composer.lock", "composer.json"),
    ("mix.lock", "mix.exs"),
)
"""Lock files, each with the file beside it without which its tool does nothing."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A command and the content of the files that it is given, by path, sorted. `origin`: who asked for it."""

    command: str
    files: Mapping[str, bytes]
    origin: str


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    locks: list[str] = []


class _Document(msgspec.Struct):
    setup: _Table | None = None


async def read_setup(path: str | Path, asked: SetupRequest | None) -> Setup | None:
    """Read what is to prepare a VM for the repository around `path`; None: nothing.

    `asked`: what the user asked for; None: what the repository asks for. Only files that git tracks are read, as they
    are in the checkout now. Raises SpecError for a file that is not there, not tracked, too large or no plain file.
    """
    if asked is not None and not asked.command:
        return None
    repository = locate(Path(path)).repository
    table = _Table(asked.command, list(asked.locks)) if asked else None
    if table is None:
        table = await anyio.to_thread.run_sync(_read_table, repository.root)
    if table is None:
        return None
    origin = "--setup" if asked else CONFIG
    if not table.command.strip() or len(table.command) > COMMAND_LONGEST or "\0" in table.command:
        raise SpecError(f"the set-up command ({origin}) is empty or longer than {COMMAND_LONGEST} characters")
    tracked = await read_index(repository)
    names = [check_path(name.removeprefix("./"), origin) for name in table.locks]
    for name in names:
        if name not in tracked:
            raise SpecError(
                f"{display(name)} ({origin}) is not a file that git tracks in {repository.root}", hint=f"git add {name}"
            )
    files = await anyio.to_thread.run_sync(_read_files, repository.root, names or known(tracked))
    return Setup(table.command, files, origin)


def known(tracked: Iterable[str]) -> list[str]:
    """Return the lock files at the root of a checkout that are known by name, with what their tools need beside."""
    root = {name for name in tracked if "/" not in name}
    found = {name for group in _KNOWN if group[0] in root for name in group if name in root}
    return sorted(found | {name for name in root if name.startswith("requirements") and name.endswith(".txt")})


def _read_table(root: Path) -> _Table | None:
    with open_tree(root) as tree:
        content = tree.read_small(CONFIG, CONFIG_LIMIT_BYTES)
    if content is None:
        return None
    try:
        return msgspec.convert(tomllib.loads(content.decode()), _Document).setup
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SpecError(f"{root / CONFIG}: {error}", hint="--no-setup goes on without it") from error


def _read_files(root: Path, names: Iterable[str]) -> dict[str, bytes]:
    wanted = sorted(set(names))
    if len(wanted) > FILES_MOST:
        raise SpecError(f"a set-up can be given {FILES_MOST} files, not {len(wanted)}")
    with open_tree(root) as tree:
        return {name: _read(tree, name) for name in wanted}


def _read(tree: Tree, name: str) -> bytes:
    with tree.open(name) as opened:
        if opened is None or not stat.S_ISREG(opened[1].st_mode):
            raise SpecError(f"{tree.root / name} is not there, or is no plain file: a set-up cannot be given it")
    content = tree.read_small(name, FILE_LIMIT_BYTES)
    assert content is not None
    return content
