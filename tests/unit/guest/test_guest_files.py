"""`guest.files`: its stream through the real agent, and how it ends when something on either side goes wrong."""

import filecmp
from pathlib import Path
from typing import Any, cast

import pytest

from banger.filesync import Copying
from banger.guest.channel import AgentChannel
from banger.model.config import FileSync
from banger.model.errors import BangerError, GuestError, SpecError
from banger.model.exec import ExecRequest
from banger.tasks import Context, Progress
from banger.tasks.guest_files import _send
from tests.unit.guest.conftest import StartAgent

pytestmark = pytest.mark.anyio


class Told:
    """What a context is told."""

    def __init__(self) -> None:
        self.progress: list[Progress] = []

    def report(self, progress: Progress) -> None:
        self.progress.append(progress)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "tree").mkdir(parents=True)
    (folder / "tree/large").write_bytes(bytes(range(256)) * 4096 * 3)
    (folder / "tree/small").write_bytes(b"small")
    return folder


async def copy(start_agent: StartAgent, home: Path, *argv: str, entry: str = "~/tree") -> Told:
    port, _, _ = start_agent()
    told = Told()
    copying = Copying((FileSync(entry, "/root/tree"),), str(home))
    async with (
        await AgentChannel.from_socket(port, deadline_s=10) as agent,
        await agent.exec(ExecRequest(argv)) as session,
    ):
        await _send(session, copying, cast("Context", cast("Any", told)))
    return told


async def test_files_arrive_through_the_agent(start_agent: StartAgent, home: Path, tmp_path: Path) -> None:
    guest = tmp_path / "guest"
    guest.mkdir()
    told = await copy(start_agent, home, "tar", "-x", "-p", "-f", "-", "-C", str(guest))
    for name in ("large", "small"):
        assert filecmp.cmp(home / "tree" / name, guest / "tree" / name, shallow=False)
    assert told.progress[-1].done == (3 << 20) + 5


@pytest.mark.requirement("FSY-007")
@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("no-such-program",), "the guest has no tar"),
        (("sh", "-c", "echo no room >&2; exit 2"), "cannot take the files: no room"),
        (("sh", "-c", "exec >&- 2>&-; head -c 9 >/dev/null; exit 3"), "cannot take the files: tar ended with 3"),
        (("sh", "-c", "head -c 1000000 /dev/zero; exit 4"), "cannot take the files"),
    ],
)
async def test_a_guest_that_does_not_take_them_is_an_error(
    start_agent: StartAgent, home: Path, argv: tuple[str, ...], says: str
) -> None:
    with pytest.raises(GuestError, match=says) as caught:
        await copy(start_agent, home, *argv)
    assert len(caught.value.message) < 3000


@pytest.mark.requirement("FSY-007")
async def test_what_cannot_be_read_is_an_error_of_its_own(start_agent: StartAgent, home: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is not in your home"):
        await copy(start_agent, home, "tar", "-x", "-f", "-", "-C", str(tmp_path), entry="/etc/passwd")


async def test_a_file_in_the_place_of_a_directory_is_told(start_agent: StartAgent, home: Path, tmp_path: Path) -> None:
    guest = tmp_path / "guest"
    (guest / "tree/small/inner").mkdir(parents=True)
    with pytest.raises(BangerError, match="small"):
        await copy(start_agent, home, "tar", "-x", "-p", "-f", "-", "-C", str(guest))
