"""One frozen VM, restored many times: each is a machine of its own, and a template that is not sound is never used."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fakes.installation import wait_until
from tests.real import Banger, copy_state

pytestmark = pytest.mark.vm
SHAPE = ("--vcpu", "1", "--memory", "512")
NOTICE = "cannot be used and is forgotten"
FILES = ("memory", "devices", "disk")
MIB = 1024**2
IDENTITY = (
    "hostname; cat /etc/machine-id; cat /sys/class/net/eth0/address; cat /proc/sys/kernel/random/boot_id;"
    " head -c 32 /dev/urandom | sha256sum; cat /run/banger/ssh_host_ed25519_key.pub; date +%s.%N"
)


class Templates(Banger):
    """An installation that uses templates, and what tests want to know of them."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.env["BANGER_TEMPLATES"] = "on"

    def build(self) -> str:
        return self.ok("template", "build", *SHAPE, "--quiet").strip()

    def create(self, name: str, *words: str) -> str:
        """Make a VM and return what was said meanwhile."""
        done = self.run("vm", "create", "--name", name, *SHAPE, "--disk-size", "1G", *words)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def was_restored(self, name: str) -> bool:
        vm = json.loads(self.ok("vm", "show", name, "--json"))
        return b"\0-incoming\0" in Path(f"/proc/{vm['pid']}/cmdline").read_bytes()

    def shell(self, name: str, script: str) -> str:
        return self.ok("vm", "exec", name, "--", "sh", "-c", script)

    def files(self) -> dict[str, Path]:
        """The template's files, by what they hold."""
        with contextlib.closing(sqlite3.connect(f"file:{self.state}/banger.db?mode=ro", uri=True)) as connection:
            (value,) = connection.execute("SELECT value FROM actions WHERE kind = 'vm.template'").fetchone()
        names = {what: file["digest"].removeprefix("sha256:") for what, file in json.loads(value).items() if file}
        return {what: self.state / "cas" / "sha256" / name[:2] / name for what, name in names.items()}

    def pss_kib(self, name: str) -> int:
        pid = json.loads(self.ok("vm", "show", name, "--json"))["pid"]
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))

    def makers(self) -> list[int]:
        """QEMU processes that make a template."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(self.state / "tmp"):
                    found.append(int(entry.name))
        return found


@pytest.fixture(scope="module")
def banger(ready_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Templates]:
    home = tmp_path_factory.mktemp("home")
    copy_state(ready_state, home)
    banger = Templates(home)
    try:
        banger.build()
        yield banger
    finally:
        delete_all(banger)
        banger.stop()
    assert banger.litter() == []


def delete_all(banger: Banger) -> None:
    names = [vm["name"] for vm in json.loads(banger.ok("vm", "list", "--json"))]
    if names:
        banger.ok("vm", "delete", *names)


@pytest.fixture
def mended(banger: Templates, tmp_path: Path) -> Iterator[Templates]:
    """The template as it was, whatever the test does to it; VMs go."""
    kept = {place: tmp_path / what for what, place in banger.files().items()}
    for place, copy in kept.items():
        subprocess.run(["cp", "--sparse=always", "--preserve=all", place, copy], check=True)
    banger.stop()
    shutil.copy2(banger.state / "banger.db", tmp_path / "banger.db")
    yield banger
    delete_all(banger)
    banger.stop()
    for path in banger.state.glob("banger.db*"):
        path.unlink()
    shutil.copy2(tmp_path / "banger.db", banger.state / "banger.db")
    for place, copy in kept.items():
        place.unlink(missing_ok=True)
        shutil.move(copy, place)


@pytest.mark.parametrize("count", [8, pytest.param(20, marks=pytest.mark.nightly)])
def test_clones_made_at_once_are_machines_of_their_own(banger: Templates, count: int) -> None:
    names = [f"clone-{number}" for number in range(count)]
    sizes = {name: 1 + number % 3 for number, name in enumerate(names)}
    try:
        with ThreadPoolExecutor(count) as pool:
            assert not any(NOTICE in said for said in pool.map(
                lambda name: banger.create(name, "--disk-size", f"{sizes[name]}G"), names
            ))  # fmt: skip
        assert all(banger.was_restored(name) for name in names)
        idle = sum(banger.pss_kib(name) for name in names)
        begun = time.time()
        with ThreadPoolExecutor(2) as pool:
            told = dict(
                zip(names, pool.map(lambda name: banger.shell(name, IDENTITY).splitlines(), names), strict=True)
            )
        ended = time.time()
        for column in range(6):
            assert len({lines[column] for lines in told.values()}) == count, column
        assert all(lines[0] == name for name, lines in told.items())
        assert all(begun - 1.5 <= float(lines[6]) <= ended + 1.5 for lines in told.values())
        # By SSH too: it is the pinned key that answers.
        assert banger.ok("vm", "ssh", names[0], "--", "hostname") == f"{names[0]}\n"
        for name in names[:3]:
            # The kernel's capacity, the file system's size, and that it can be written to its very end.
            script = (
                "cat /sys/block/vdb/size; findmnt -no SOURCE,FSTYPE /root || grep ' /root ' /proc/mounts;"
                " df -B1M --output=size /root | tail -1; dd if=/dev/vdb of=/dev/null bs=1M skip=$(($(cat"
                " /sys/block/vdb/size) / 2048 - 1)) 2>&1 | grep -c 1+0; dmesg | grep -c 'I/O error'; true"
            )
            sectors, mount, mib, end, errors = banger.shell(name, script).split("\n")[:5]
            assert int(sectors) * 512 == sizes[name] * 1024 * MIB
            assert "vdb" in mount
            assert 0.9 * sizes[name] * 1024 < int(mib) <= sizes[name] * 1024
            assert (int(end) > 0, errors) == (True, "0")
        banger.create("booted", "--cold")
        assert not banger.was_restored("booted")
        if count == 8:
            assert idle <= 2.5 * banger.pss_kib("booted")
    finally:
        delete_all(banger)


def test_a_restored_vm_outlives_its_template_and_starts_again_on_its_disks(mended: Templates) -> None:
    digest = json.loads(mended.ok("template", "ls", "--json"))[0]["digest"]
    mended.create("box")
    mended.shell("box", "echo kept > /root/file; echo kept > /etc/file; sync")
    mended.ok("template", "rm", digest)
    assert mended.ok("template", "ls", "--json") == "[]\n"
    assert mended.shell("box", "cat /root/file") == "kept\n"
    mended.ok("vm", "stop", "box")
    mended.ok("vm", "start", "box")
    assert mended.shell("box", "cat /root/file /etc/file; hostname") == "kept\nkept\nbox\n"


def _corrupt(place: Path, _others: list[Path]) -> None:
    with place.open("r+b") as file:
        at = os.lseek(file.fileno(), 0, os.SEEK_DATA)
        file.seek(at + 100)
        byte = file.read(1)
        file.seek(at + 100)
        file.write(bytes([byte[0] ^ 1]))


def _truncate(place: Path, _others: list[Path]) -> None:
    os.truncate(place, place.stat().st_size // 2)


def _swap(place: Path, others: list[Path]) -> None:
    other = others[0]
    aside = place.with_name("aside")
    place.rename(aside)
    other.rename(place)
    aside.rename(other)


def _remove(place: Path, _others: list[Path]) -> None:
    place.unlink()


BY_DEFAULT = {("memory", _corrupt), ("devices", _truncate), ("disk", _swap)}
CASES = [
    pytest.param(
        file, harm, id=f"{file}{harm.__name__}", marks=() if (file, harm) in BY_DEFAULT else pytest.mark.nightly
    )
    for file in FILES
    for harm in (_corrupt, _truncate, _swap, _remove)
]


@pytest.mark.parametrize(("file", "harm"), CASES)
def test_a_damaged_template_is_found_out_and_the_vm_boots(mended: Templates, file: str, harm: object) -> None:
    files = mended.files()
    for place in files.values():
        place.chmod(0o600)
    assert callable(harm)
    harm(files[file], [place for what, place in files.items() if what != file])
    bad = mended.state / "cas" / "bad"
    before = len(list(bad.iterdir()))
    mended.create("box", "--disk-size", "2G")
    # A small file is found out when the template is looked up, a large one when it is used; the evidence is kept.
    assert harm is _remove or len(list(bad.iterdir())) > before
    assert not mended.was_restored("box")
    assert mended.shell("box", "hostname; grep -c ' /root ext4' /proc/mounts") == "box\n1\n"


def test_a_template_that_qemu_refuses_is_forgotten_and_the_vm_boots(mended: Templates) -> None:
    with contextlib.closing(sqlite3.connect(mended.state / "banger.db")) as connection:
        query = "SELECT digest, value FROM actions WHERE kind = 'vm.template'"
        digest, text = connection.execute(query).fetchone()
        value = json.loads(text)
        value["devices"] = value["disk"]  # a sound object, but no state of any device
        connection.execute("UPDATE actions SET value = ? WHERE digest = ?", (json.dumps(value), digest))
        connection.commit()
    said = mended.create("box")
    assert NOTICE in said
    assert not mended.was_restored("box")
    assert mended.shell("box", "hostname") == "box\n"
    wait_until(lambda: bool(json.loads(mended.ok("template", "ls", "--json"))), 90)  # made anew behind it
    mended.create("next")
    assert mended.was_restored("next")


def test_no_byte_of_the_users_is_in_a_template(banger: Templates) -> None:
    secrets = [(banger.state / "ssh" / name).read_bytes().split()[1] for name in ("id_ed25519.pub",)]
    secrets += [str(banger.state).encode(), b"BANGER_STATE_DIR", os.environ["PATH"].encode()]
    secrets += [
        line for line in (banger.state / "ssh" / "id_ed25519").read_bytes().splitlines()[1:-1] if len(line) > 60
    ]
    for what, place in banger.files().items():
        data = place.read_bytes()
        assert not [secret for secret in secrets if secret in data], what


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_that_ends_while_it_makes_a_template_leaves_none_and_no_process(
    ready_state: Path, tmp_path: Path, number: signal.Signals
) -> None:
    copy_state(ready_state, tmp_path)
    banger = Templates(tmp_path)
    maker = banger.begin("template", "build", *SHAPE)
    try:
        wait_until(lambda: bool(banger.makers()), 60)
        pid = banger.daemon_pid()
        assert pid
        os.kill(pid, number)
        wait_until(lambda: not banger.makers(), 30)
    finally:
        maker.communicate(timeout=60)
    assert banger.ok("template", "ls", "--json") == "[]\n"
    banger.stop()
    assert banger.litter() == []


def test_the_plan_says_which_it_would_be_and_another_shape_boots(banger: Templates) -> None:
    def kinds(*words: str) -> set[str]:
        plan = json.loads(banger.ok("plan", "vm", "create", "--vcpu", "1", *words, "--json"))
        return {node["kind"] for node in plan["nodes"]} & {"vm.boot", "vm.restore"}

    assert kinds("--memory", "512", "--disk-size", "3G", "--name", "x") == {"vm.restore"}
    assert kinds("--memory", "512", "--cold") == {"vm.boot"}
    assert kinds("--memory", "640") == {"vm.boot"}
    try:
        banger.ok("vm", "create", "--name", "other", "--vcpu", "1", "--memory", "640", "--disk-size", "1G")
        assert not banger.was_restored("other")
        assert banger.shell("other", "hostname; grep -c ' /root ext4' /proc/mounts") == "other\n1\n"
    finally:
        delete_all(banger)


@pytest.mark.parametrize("place", ["vm.restore:intended", "vm.restore:applied", "guest.identity:applied"])
def test_a_daemon_killed_in_a_restore_leaves_nothing(mended: Templates, place: str) -> None:
    done = mended.run("vm", "create", "--name", "box", *SHAPE, "--disk-size", "1G", BANGER_FAULT=place)
    assert done.returncode != 0
    assert mended.ok("vm", "list", "--json") == "[]\n"
    mended.stop()
    assert mended.litter() == []
