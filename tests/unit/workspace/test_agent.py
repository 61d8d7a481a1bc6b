"""Through the real agent: what arrives, what breaks off and leaves nothing, and what comes back."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from banger.guest.channel import AgentChannel
from banger.guest.programs import place_path
from banger.guest.run import Ended, run_program
from banger.model.errors import BangerError, ConflictError, DeadlineError, GuestError
from banger.model.exec import ExecRequest
from banger.model.vm import WorkspaceRequest
from banger.workspace.export import Receiver, branch_of, export_workspace, new_folder
from banger.workspace.guest import Report, no_report
from banger.workspace.prepare import Prepared, prepare_workspace
from banger.workspace.record import load_record
from banger.workspace.update import Way
from tests.fakes.agent import build_checked_agent, make_root, spawn_agent
from tests.unit.workspace.repositories import Repo, nothing, tree

pytestmark = pytest.mark.anyio
LARGE_BYTES = 8 * 1024 * 1024


@dataclass
class Machine:
    """A directory in which a real agent runs programs; `place` is where the checkout goes."""

    agent: AgentChannel
    folder: Path

    @property
    def place(self) -> Path:
        return self.folder / "guest/repo"

    async def run(self, words: Sequence[str], stdin: AsyncIterator[bytes]) -> Ended:
        return await run_program(self.agent, ExecRequest(tuple(words)), stdin, deadline_s=60)

    async def prepare(self, repo: Repo, report: Report = no_report) -> Prepared:
        scratch = self.folder / os.urandom(4).hex()
        scratch.mkdir()
        way = Way(self.run, scratch, place_path(), str(self.place), report)
        return await prepare_workspace(WorkspaceRequest(str(repo.root)), self.folder / "vm", way)


@pytest.fixture(scope="module")
def checked_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checked_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture
async def machine(checked_agent: Path, tmp_path: Path) -> AsyncIterator[Machine]:
    folder = tmp_path / "machine"
    for name in ("guest", "vm"):
        (folder / name).mkdir(parents=True)
    make_root(folder / "root")
    port, process = spawn_agent(checked_agent, folder / "root", 0)
    agent = await AgentChannel.from_socket(port, deadline_s=10)
    try:
        yield Machine(agent, folder)
    finally:
        await agent.aclose()
        crashed = process.poll()
        process.kill()
        said = process.communicate()[1]
        assert crashed is None, said


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def settled(folder: Path) -> list[str]:
    """What is in a directory once the guest has noticed that we are gone."""
    for _ in range(100):
        if not names(folder):
            break
        await anyio.sleep(0.05)
    return names(folder)


@pytest.mark.requirement("WSP-003")
async def test_a_checkout_goes_there_and_comes_back(machine: Machine, repo: Repo) -> None:
    repo.write("README", os.urandom(LARGE_BYTES))
    seen: list[tuple[int, int]] = []
    assert (await machine.prepare(repo, lambda sent, total: seen.append((sent, total)))).how == "whole"
    assert tree(machine.place) == tree(repo.root)
    assert seen[-1][0] == seen[-1][1]
    repo.write("run.sh", "#!/bin/sh\nexit 1\n", 0o755)
    assert (await machine.prepare(repo)).how == "changes"
    assert tree(machine.place) == tree(repo.root)
    (machine.place / "done").write_bytes(os.urandom(LARGE_BYTES))
    record = load_record(machine.folder / "vm")
    assert record is not None
    assert record.current is not None

    async def run(words: Sequence[str], sink: Receiver) -> Ended:
        return await run_program(machine.agent, ExecRequest(tuple(words)), deadline_s=60, sink=sink)

    into = new_folder(machine.folder / "vm")
    view = await export_workspace("box", record.current, run, into, place=str(machine.place))
    assert [file.path for file in view.files] == ["README", "done", "run.sh"]
    branch = branch_of(into, None).name
    there = Repo(machine.place, repo.home).git("hash-object", "done")
    assert repo.git("rev-parse", f"{branch}:done") == there


async def test_a_file_that_changes_while_it_is_sent_is_an_error_that_arrives_as_itself(
    machine: Machine, repo: Repo
) -> None:
    repo.write("README", os.urandom(LARGE_BYTES))
    repo.write("run.sh", "changed\n")

    def change(sent: int, _total: int) -> None:
        if sent > LARGE_BYTES // 4:
            repo.write("run.sh", "CHANGED\n")

    with pytest.raises(ConflictError, match=r"run\.sh changed"):
        await machine.prepare(repo, change)
    assert await settled(machine.folder / "guest") == []


async def test_a_transfer_that_is_cancelled_leaves_nothing(machine: Machine, repo: Repo) -> None:
    repo.write("README", os.urandom(4 * LARGE_BYTES))
    with anyio.CancelScope() as scope:
        await machine.prepare(repo, lambda sent, _total: scope.cancel() if sent > LARGE_BYTES else None)
    assert scope.cancelled_caught
    assert await settled(machine.folder / "guest") == []
    assert len(machine.agent._programs) == 0


async def test_what_the_guest_says_of_its_failure_is_shown(machine: Machine, repo: Repo) -> None:
    machine.place.mkdir()
    (machine.place / "mine").write_text("mine\n")
    with pytest.raises(GuestError, match="not empty"):
        await machine.prepare(repo)
    assert names(machine.folder / "guest") == ["repo"]


async def test_a_program_that_ends_before_its_input_does_is_no_error(machine: Machine) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    ended = await machine.run(["sh", "-c", "echo out; echo err >&2; exit 3"], endless())
    assert (ended.status, ended.stdout, ended.stderr) == (3, b"out\n", b"err\n")


async def test_a_program_that_does_not_end_is_ended(machine: Machine) -> None:
    with pytest.raises(DeadlineError, match="did not finish"):
        await run_program(machine.agent, ExecRequest(("sleep", "60")), nothing(), deadline_s=0.3)


async def test_a_sink_that_has_enough_ends_the_program(machine: Machine) -> None:
    def sink(_data: bytes) -> None:
        raise GuestError("enough")

    with pytest.raises(BangerError, match="enough"):
        await run_program(machine.agent, ExecRequest(("cat", "/dev/zero")), deadline_s=10, sink=sink)
