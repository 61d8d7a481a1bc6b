"""The engine's part, with the real agent: in a mount namespace of its own, in which /root is a directory of ours."""

import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from banger.engine.run import Engine
from banger.engine.workspaces import Workspaces
from banger.guest.agents import Agents
from banger.guest.channel import AgentChannel
from banger.model.errors import ConflictError, NotFoundError
from banger.model.vm import Sizes, VmRequest, WorkspaceRequest
from banger.model.workspace import PrepareRequest
from banger.store.state import State, open_state
from banger.store.vms import VmRecord
from tests.fakes.agent import build_checked_agent, make_root, spawn_agent
from tests.unit.workspace.repositories import Repo, make_repo, tree

pytestmark = [pytest.mark.root, pytest.mark.anyio]
VM = VmRecord("0123456789abcdef" * 2, "box", VmRequest(Sizes(1, 256, 1 << 30)), 0.0)


class OneAgent(Agents):
    """Connections to one guest, whatever socket is asked for."""

    def __init__(self, agent: AgentChannel) -> None:
        super().__init__()
        self._agent = agent

    async def channel(self, path: Path, *, deadline_s: float) -> AgentChannel:
        return self._agent


@dataclass
class Machine:
    workspaces: Workspaces
    state: State
    root: Path


@pytest.fixture(scope="module")
def checked_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checked_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = open_state(tmp_path / "state")
    (made.vms_dir / VM.id).mkdir()
    yield made
    made.close()


@asynccontextmanager
async def guest(agent: Path, folder: Path) -> AsyncIterator[tuple[AgentChannel, Path]]:
    """An agent whose programs see `folder`/home as /root."""
    home = folder / "home"
    home.mkdir(parents=True)
    make_root(folder / "root")
    wrapped = folder / "agent"
    words = f'mount --make-rprivate / && mount --bind {shlex.quote(str(home))} /root && exec {agent} "$@"'
    wrapped.write_text(f'#!/bin/sh\nexec unshare -m sh -c {shlex.quote(words)} sh "$@"\n')
    wrapped.chmod(0o755)
    port, process = spawn_agent(wrapped, folder / "root", 0)
    try:
        channel = await AgentChannel.from_socket(port, deadline_s=20)
        yield channel, home
        await channel.aclose()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
async def machine(checked_agent: Path, state: State, tmp_path: Path) -> AsyncIterator[Machine]:
    async with guest(checked_agent, tmp_path / "guest") as (channel, home):
        yield Machine(Workspaces(Engine(state, connections=OneAgent(channel))), state, home)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    made = make_repo(tmp_path / "host")
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    made.write("README", "hello\n")
    made.write("run.sh", "#!/bin/sh\n", 0o755)
    made.commit()
    return made


def request(repo: Repo) -> PrepareRequest:
    return PrepareRequest(WorkspaceRequest(str(repo.root)))


@pytest.mark.requirement("WSP-001", "WSP-010", "WSP-012")
async def test_a_checkout_is_prepared_again_and_exported(machine: Machine, repo: Repo) -> None:
    (machine.root / ".ssh").mkdir()
    (machine.root / ".ssh/authorized_keys").write_text("a key\n")
    events: list[object] = []
    first = await machine.workspaces.prepare(VM, request(repo), events.append)
    assert (first.how, first.files, first.branch) == ("whole", 2, "main")
    there = machine.root / "repo"
    assert tree(there) == tree(repo.root)
    repo.write("README", "changed\n")
    again = await machine.workspaces.prepare(VM, PrepareRequest(), events.append)
    assert (again.how, again.changed, again.path) == ("changes", 1, str(repo.root))
    (there / "done").write_text("done\n")
    view = await machine.workspaces.export(VM, None)
    assert [file.path for file in view.files] == ["README", "done"]
    made = await machine.workspaces.make_branch(VM, view.id, None)
    assert repo.git("show", f"{made.name}:done") == "done"
    with pytest.raises(NotFoundError, match="no such export"):
        await machine.workspaces.make_branch(VM, "0" * 16, None)
    assert (machine.root / ".ssh/authorized_keys").read_text() == "a key\n"
    leases = [(lease.node, lease.state, lease.run_id) for lease in machine.state.journal.of_vm(VM.id)]
    assert leases == [("workspace.sync", "held", None)]
    assert list(machine.state.scratch.root.iterdir()) == []


async def test_a_clash_fails_the_run_and_leaves_no_lease_in_the_midst(machine: Machine, repo: Repo) -> None:
    await machine.workspaces.prepare(VM, request(repo), lambda _event: None)
    repo.write("README", "here\n")
    (machine.root / "repo/README").write_text("there\n")
    with pytest.raises(ConflictError, match="both here and in the VM changed: README"):
        await machine.workspaces.prepare(VM, request(repo), lambda _event: None)
    assert (machine.root / "repo/README").read_text() == "there\n"
    assert all(lease.run_id is None for lease in machine.state.journal.of_vm(VM.id))
    (machine.root / "repo/README").write_text("hello\n")
    assert (await machine.workspaces.prepare(VM, request(repo), lambda _event: None)).how == "changes"


async def test_what_was_never_prepared_is_neither_prepared_again_nor_exported(machine: Machine) -> None:
    with pytest.raises(NotFoundError, match="no checkout was ever put into VM 'box'"):
        await machine.workspaces.prepare(VM, PrepareRequest(), lambda _event: None)
    with pytest.raises(NotFoundError, match="no checkout was ever put into VM 'box'"):
        await machine.workspaces.export(VM, None)
