"""The default image: the same bytes for root and for a user, what is in it, and what a kill leaves behind."""

import hashlib
import os
import re
import signal
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.debian.conftest import Image, Worker

pytestmark = [pytest.mark.network, pytest.mark.root]
_ENOUGH_S = 60


@pytest.fixture(scope="module")
def made_by_root(root_worker: Worker, image: Image) -> dict[str, object]:
    return root_worker.do("bootstrap", image, name="first place")


@pytest.mark.slow
def test_root_on_disk_and_an_ordinary_user_in_memory_make_the_same_bytes(
    user_worker: Worker, root_worker: Worker, image: Image, made_by_root: dict[str, object]
) -> None:
    made = user_worker.do("bootstrap", image, name="second", in_memory=True)
    assert _sha256(user_worker.tar("second")) == _sha256(root_worker.tar("first place"))
    for answer in (made, made_by_root):
        progress = answer["progress"]
        assert isinstance(progress, list)
        assert progress == sorted(progress)
        assert progress[-1] == len(image.lock.packages)
    assert not (user_worker.folder / "second").exists()
    assert not (root_worker.folder / "first place").exists()


@pytest.mark.slow
def test_the_image_has_its_programs_and_nothing_of_this_machine(
    root_worker: Worker, made_by_root: dict[str, object]
) -> None:
    assert "error" not in made_by_root
    with tarfile.open(root_worker.tar("first place")) as tar:
        members = {member.name.removeprefix("./"): member for member in tar}
        machine_id = tar.extractfile(members["etc/machine-id"])
        sources = tar.extractfile(members["etc/apt/sources.list"])
        assert machine_id
        assert sources
        assert machine_id.read() == b""
        assert sources.read() == b"deb http://archive.example/debian bookworm main\n"
    for program in ("usr/sbin/sshd", "usr/bin/git", "usr/bin/make", "usr/bin/curl", "usr/bin/ps", "usr/sbin/ip"):
        assert members[program].mode & 0o111, program
    assert members["bin"].linkname == "usr/bin"
    assert members["dev/console"].ischr()
    assert (members["etc/shadow"].mode, members["etc/shadow"].gid) == (0o640, 42)
    assert members["usr/bin/passwd"].mode == 0o4755
    unwanted = re.compile(
        r"etc/(resolv\.conf|hostname|ssh/ssh_host_.*)|var/log/.*\.log|var/lib/apt/lists/.*Packages.*"
        r"|var/cache/apt/.*(\.deb|\.bin)|usr/share/(man|locale|info)/.+/.*|usr/sbin/policy-rc\.d|.*/systemd-sysv.*"
    )
    assert [name for name in members if unwanted.fullmatch(name)] == []


def test_a_user_without_subordinate_ids_is_told_the_command(image: Image) -> None:
    with tempfile.TemporaryDirectory(prefix="banger-test-nobody-") as name:
        Path(name).chmod(0o777)
        answer = Worker("nobody", Path(name)).do("bootstrap", image)
    assert "subordinate ids" in str(answer["error"])
    assert answer["hint"] == "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 nobody"


@pytest.mark.parametrize("who", [pytest.param("root", marks=pytest.mark.nightly), "user"])
def test_a_bootstrap_killed_at_work_leaves_only_its_scratch_directory(
    who: str, root_worker: Worker, user_worker: Worker, image: Image
) -> None:
    worker = {"root": root_worker, "user": user_worker}[who]
    before = _temporary_names()
    scratch = worker.folder / "killed"
    with worker.start("bootstrap", image, name="killed") as child:
        _wait(lambda: "Setting up libc6" in _text(scratch / "log") or child.poll() is not None)
        assert child.poll() is None
        namespaces = {_pid_namespace(pid) for pid in _descendants(child.pid)} - {_pid_namespace(os.getpid()), None}
        assert namespaces
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    _wait(lambda: not [pid for pid in _pids() if _pid_namespace(pid) in namespaces])
    assert str(scratch) not in Path("/proc/self/mountinfo").read_text()
    assert not (worker.folder / "killed.tar").exists()
    assert _temporary_names() <= before
    assert {path.name for path in worker.folder.iterdir() if path.name.startswith("killed")} == {
        "killed",
        "killed.json",
    }
    # What a user could not remove without namespaces: files of the image's own groups.
    if who == "user":
        assert {path.lstat().st_gid for path in scratch.rglob("*")} > {scratch.stat().st_gid}
    assert worker.do("remove", image, name="killed") == {}
    assert not scratch.exists()


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _ENOUGH_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _temporary_names() -> set[str]:
    return {path.name for folder in ("/tmp", "/var/tmp") for path in Path(folder).glob("mmdebstrap*")}


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _pid_namespace(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return None


def _descendants(pid: int) -> set[int]:
    found = {pid}
    while True:
        more = {each for each in _pids() if _parent(each) in found} - found
        if not more:
            return found
        found |= more


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    return int(stat.rpartition(")")[2].split()[1])
