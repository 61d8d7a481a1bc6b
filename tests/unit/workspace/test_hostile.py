"""A repository that means harm runs nothing, shows nothing of its neighbourhood, and ends in time."""

import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from banger.guest.programs import place_path
from banger.host import git
from banger.model.errors import BangerError
from banger.workspace import history
from banger.workspace.archive import write_archive
from banger.workspace.bundle import write_bundle
from banger.workspace.values import Workspace
from tests.unit.workspace.hostile import TRAPS
from tests.unit.workspace.hostile.trap import CANARY, Ground, Trap, make_ground, make_template
from tests.unit.workspace.repositories import Guest, tree

pytestmark = pytest.mark.anyio
DEADLINE_S = 20
SHORT_S = 1.0


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "ground"
    make_template(folder)
    return folder


def test_there_are_enough_of_them_and_each_has_a_name() -> None:
    names = [trap.name for trap in TRAPS]
    assert sorted(set(names)) == sorted(names)
    assert len(names) >= 120


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
async def test_it_runs_nothing_and_reads_nothing_of_others(
    template: Path, tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = make_ground(template, tmp_path / "ground")
    trap.set(ground)
    for name, value in trap.environ:
        monkeypatch.setenv(name, value.replace("@", str(ground.folder)))
    monkeypatch.setattr(git, "DEADLINE_S", SHORT_S if trap.hangs else git.DEADLINE_S)
    monkeypatch.setattr(history, "PATH_LIMIT", 50_000)
    said = ""
    with anyio.fail_after(DEADLINE_S):
        try:
            found = await ground.repo.inspect(trap.start, include_untracked=trap.untracked)
            shown = "\0".join([*found.files, *found.untracked, repr(found)])
            await send(found, ground, tmp_path, ships=trap.ships)
        except BangerError as error:
            said = shown = f"{error.message}\n{error.hint}"
    assert not ground.mark.exists()
    assert CANARY not in shown
    if trap.says is None:
        assert said == ""
    else:
        assert re.search(trap.says, said), said or "no error"


async def send(found: Workspace, ground: Ground, folder: Path, *, ships: bool) -> None:
    """Send it to a guest, and look for the secret in every file and object that arrives; or only write it down."""
    if not ships:
        await write_bundle(found, folder / "bundle")
        assert CANARY.encode() not in b"".join(write_archive(found, [folder / "bundle"], place_path()))
        return
    guest = Guest(folder / "guest")
    await guest.sync(found, folder / "scratch")
    assert sorted(tree(guest.repo.root)) == sorted(raw_files(found))
    objects = guest.repo.git("cat-file", "--batch-all-objects", "--batch", "--unordered")
    assert CANARY not in objects
    assert CANARY not in guest.received.decode(errors="replace")
    assert not any("mark" in names for _, _, names in os.walk(folder))


def raw_files(found: Workspace) -> list[str]:
    return [*found.unchanged, *(file.path for file in found.overlay)]


TRACED = """
import sys
from pathlib import Path
import anyio
from banger.guest.programs import place_path
from banger.model.errors import BangerError
from banger.workspace.archive import write_archive
from banger.workspace.bundle import write_bundle
from tests.unit.workspace.repositories import Repo

async def look(folder: Path) -> None:
    try:
        found = await Repo(folder / "repo", folder / "home").inspect(include_untracked=True)
        await write_bundle(found, folder / "bundle")
        sum(map(len, write_archive(found, [folder / "bundle"], place_path())))
    except BangerError as error:
        print(error.message)

for folder in sys.argv[1:]:
    anyio.run(look, Path(folder))
"""


@pytest.mark.parametrize("first", [0, *(pytest.param(one, marks=pytest.mark.nightly) for one in range(1, 9))])
def test_a_trace_shows_no_other_program_and_no_open_outside(template: Path, tmp_path: Path, first: int) -> None:
    """The same by the kernel's own account, for traps in which git does not wait: every ninth, from the first on."""
    chosen = [trap for trap in TRAPS if not trap.hangs and not trap.start and not trap.environ][first::9]
    grounds = [make_ground(template, tmp_path / str(number)) for number in range(len(chosen))]
    for trap, ground in zip(chosen, grounds, strict=True):
        trap.set(ground)
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-q", "-y", "-s", "4096", "-o", str(trace), "-e", "trace=execve,open,openat,openat2"]
    argv = [*strace, sys.executable, "-B", "-c", TRACED, *(str(ground.folder) for ground in grounds)]
    root = Path(__file__).parents[3]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    programs, read = set[str](), set[str]()
    for line in trace.read_text(errors="replace").splitlines():
        call = line.partition(" ")[2].strip()
        if call.startswith("execve(") and " = 0" in call:
            programs.add(call.split('"')[1])
        elif call.startswith("open") and "O_PATH" not in call and (opened := re.search(r" = [0-9]+<(.*)>$", call)):
            read.add(opened[1])
    assert programs == {sys.executable, *programs_of_git()}
    ours = {path for path in read if path.startswith(str(tmp_path))}
    assert len(ours) > 10 * len(chosen)
    assert {path for path in ours if not is_inside(Path(path), tmp_path)} == set()


def programs_of_git() -> set[str]:
    found = git._find_programs()
    return {str(found.git), str(found.exec_path / "git")}


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is of a repository, of its user's own git configuration, or the bundle that we write.

    Or one of the three files in which a place that a `.git` file names can say that the file is right.
    """
    parts = path.relative_to(folder).parts
    return len(parts) > 1 and (parts[1] in {"repo", "home", "bundle"} or path.name in {"commondir", "gitdir", "config"})
