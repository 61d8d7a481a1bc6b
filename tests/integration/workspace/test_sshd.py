"""The task itself against OpenSSH: what arrives, what is refused, and what is left when it breaks off."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from banger.host.ssh import Ended, GuestSsh, run_in_guest
from banger.model.errors import ConflictError, GuestError
from banger.model.handles import Checkout, RunningVm
from banger.model.vm import WorkspaceRequest
from banger.store.state import State, open_state
from banger.tasks import Context, Progress, Ref
from banger.tasks.workspace_inspect import InspectWorkspace
from banger.tasks.workspace_sync import SyncWorkspace
from banger.workspace.sync import sync_workspace
from tests.integration.workspace.conftest import Server
from tests.unit.workspace.repositories import Repo, make_repo, tree

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.anyio]
VM = "0123456789abcdef" * 2
LARGE_BYTES = 32 * 1024 * 1024


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = make_repo(tmp_path / "host")
    made.write("README", "hello\n")
    made.write("run.sh", "#!/bin/sh\n", 0o755)
    made.commit()
    made.write("README", "changed\n")
    return made


@pytest.fixture
def state(tmp_path: Path, server: Server, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """Make a state directory that knows the server as the guest of a VM."""
    monkeypatch.setenv("HOME", str(repo.home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    made = open_state(tmp_path / "state")
    made.client_key.write_bytes((server.keys / "client").read_bytes())
    made.client_key.chmod(0o600)
    (made.vms_dir / VM).mkdir()
    (made.vms_dir / VM / "ssh_host_ed25519_key.pub").write_text(server.host_key + "\n")
    yield made
    made.close()


class Tasks:
    """The two tasks as a plan has them, and what they report."""

    def __init__(self, state: State, server: Server, repo: Repo) -> None:
        self.state, self.server, self.reports = state, server, list[Progress]()
        self.request = WorkspaceRequest(str(repo.root))

    def context(self, **inputs: Any) -> Context:
        scratch = self.state.root / "tmp" / os.urandom(4).hex()
        scratch.mkdir()
        return Context(self.state, scratch, "run", inputs, self.reports.append)

    async def run(self) -> Checkout:
        seen = await InspectWorkspace(request=self.request).ask(self.context())
        boot = RunningVm(pid=1, start_ticks=1, boot_id="", accelerator="tcg")
        context = self.context(workspace=seen, boot=boot, port=self.server.port)
        task = SyncWorkspace(
            vm=VM, request=self.request, workspace=Ref("workspace"), boot=Ref("boot"), port=Ref("port")
        )
        value = await task.apply(context)
        assert await task.probe(context, value)
        await task.undo(context, value)
        return value


@pytest.fixture
def tasks(state: State, server: Server, repo: Repo) -> Tasks:
    return Tasks(state, server, repo)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_checkout_arrives_whole_and_belongs_to_root(tasks: Tasks, server: Server, repo: Repo) -> None:
    value = await tasks.run()
    assert value == (await repo.inspect()).checkout
    assert names(server.root) == ["repo"]
    assert tree(server.root / "repo") == tree(repo.root)
    assert {path.lstat().st_uid for path in (server.root / "repo").rglob("*")} == {0}
    assert (server.root / "repo").stat().st_mode & 0o7777 == 0o755
    assert tasks.reports[-1].done == tasks.reports[-1].total


async def test_a_large_checkout_arrives_and_a_second_time_nothing_is_done(
    tasks: Tasks, server: Server, repo: Repo
) -> None:
    repo.write("README", os.urandom(LARGE_BYTES))
    await tasks.run()
    (server.root / "repo/README").write_text("edited in the guest\n")
    await tasks.run()
    assert (server.root / "repo/README").read_text() == "edited in the guest\n"


async def test_another_host_key_ends_it_before_anything_is_sent(tasks: Tasks, server: Server, state: State) -> None:
    (state.vms_dir / VM / "ssh_host_ed25519_key.pub").write_text((server.keys / "client.pub").read_text())
    with pytest.raises(GuestError, match="not trusted"):
        await tasks.run()
    assert names(server.root) == []


async def test_what_the_guest_says_of_its_failure_is_shown(tasks: Tasks, server: Server) -> None:
    (server.root / "repo").mkdir()
    (server.root / "repo/mine").write_text("mine\n")
    with pytest.raises(GuestError, match="not empty"):
        await tasks.run()
    assert names(server.root) == ["repo"]


async def settled(root: Path) -> list[str]:
    """Return what is in a directory once the guest has noticed that we are gone."""
    for _ in range(100):
        if not names(root):
            break
        await anyio.sleep(0.05)
    return names(root)


async def test_a_file_that_changes_while_it_is_sent_is_an_error_that_arrives_as_itself(
    server: Server, repo: Repo, tmp_path: Path
) -> None:
    repo.write("README", os.urandom(LARGE_BYTES))
    repo.write("run.sh", "changed\n")
    found = await repo.inspect()
    repo.write("run.sh", "CHANGED\n")
    guest = GuestSsh(server.port, server.keys / "client", server.host_key)

    async def run(command: str, stdin: AsyncIterator[bytes]) -> Ended:
        return await run_in_guest(guest, command, stdin, deadline_s=30)

    with pytest.raises(ConflictError, match=r"run\.sh changed"):
        await sync_workspace(found, run, scratch=tmp_path)
    assert await settled(server.root) == []


async def test_a_transfer_that_is_cancelled_leaves_nothing(tasks: Tasks, server: Server, repo: Repo) -> None:
    repo.write("README", os.urandom(8 * LARGE_BYTES))
    with anyio.CancelScope() as scope:
        tasks.reports = Stopper(scope)
        await tasks.run()
    assert scope.cancelled_caught
    assert await settled(server.root) == []


class Stopper(list[Progress]):
    """Cancels at the third report."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        super().__init__()
        self.scope = scope

    def append(self, progress: Progress) -> None:
        super().append(progress)
        if len(self) == 3:
            self.scope.cancel()
