"""Whatever a template's state rests on is in its key: change it, and the VM boots and is right; and nothing else is."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.guest.programs import program_paths
from tests.fakes.installation import wait_until
from tests.real import Banger, copy_state

pytestmark = pytest.mark.vm
SHAPE = ("--vcpu", "1", "--memory", "512", "--disk-size", "1G")
SECRET = "cGxhbnRlZC1zZWNyZXQtb2YtdGhlLXVzZXI"
QEMU = "qemu-system-x86_64"

PATCHES = {
    "qemu option": "import banger.vm.argv as argv\nargv.SANDBOX = argv.SANDBOX.rpartition(',')[0]\n",
    "kernel parameter": "import banger.vm.argv as argv\nargv._ALWAYS += ('banger.test=1',)\n",
    "agent": "import pathlib\nimport banger.guest.programs as programs\nprograms._HERE = pathlib.Path({here!r})\n",
}
"""Run at the start of each Python process: as if that release of banger were installed."""
CHANGES = [*PATCHES, "qemu", "memory", "vcpu"]


@pytest.fixture(scope="module")
def banger(ready_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Banger]:
    banger = copy_state(ready_state, tmp_path_factory.mktemp("home"))
    banger.env["BANGER_TEMPLATES"] = "on"
    try:
        banger.ok("template", "build", *SHAPE[:4], "--quiet")
        yield banger
    finally:
        banger.stop()
    assert banger.litter() == []


@pytest.fixture
def changed(banger: Banger, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """A machine on which one thing is different; gives the words of the VM's shape."""
    what, before = request.param, dict(banger.env)
    banger.stop()
    if what in PATCHES:
        (tmp_path / "sitecustomize.py").write_text(PATCHES[what].format(here=str(tmp_path)))
        (tmp_path / "bin").mkdir()
        for program in program_paths():
            copy = tmp_path / "bin" / program.name
            shutil.copy2(program, copy)
            with copy.open("ab") as file:
                file.write(b"\0")  # behind the end of what is loaded: another program by its digest only
        banger.env["PYTHONPATH"] = str(tmp_path)
    elif what == "qemu":
        found = shutil.which(QEMU)
        assert found
        shutil.copy2(found, tmp_path / QEMU)
        with (tmp_path / QEMU).open("ab") as file:
            file.write(b"\0")
        banger.env["PATH"] = f"{tmp_path}:{banger.env['PATH']}"
    shape: list[str] = list(SHAPE)
    if what in {"memory", "vcpu"}:
        shape[shape.index(f"--{what}") + 1] = {"memory": "513", "vcpu": "2"}[what]
    yield tuple(shape)
    banger.stop()
    banger.env.clear()
    banger.env.update(before)


def kinds(banger: Banger, *words: str) -> set[str]:
    plan = json.loads(banger.ok("plan", "vm", "create", *words, "--json"))
    return {node["kind"] for node in plan["nodes"]} & {"vm.boot", "vm.restore"}


@pytest.mark.parametrize("changed", CHANGES, indirect=True)
def test_each_thing_that_the_state_rests_on_is_a_miss(banger: Banger, changed: tuple[str, ...]) -> None:
    # The first plan may ask what the new thing is; the second has the answer, and looks for its template.
    assert [kinds(banger, *changed) for _ in range(2)] == [{"vm.boot"}] * 2


@pytest.mark.parametrize(
    "changed",
    ["agent", *(pytest.param(one, marks=pytest.mark.nightly) for one in CHANGES if one != "agent")],
    indirect=True,
)
def test_a_vm_whose_template_no_longer_fits_boots_and_is_right(banger: Banger, changed: tuple[str, ...]) -> None:
    banger.ok("vm", "create", "--name", "box", *changed)
    try:
        vm = json.loads(banger.ok("vm", "show", "box", "--json"))
        assert b"\0-incoming\0" not in Path(f"/proc/{vm['pid']}/cmdline").read_bytes()
        assert banger.ok(
            "vm", "exec", "box", "--", "sh", "-c", "hostname; nproc; grep -c ' /root ext4' /proc/mounts"
        ) == (f"box\n{vm['sizes']['vcpus']}\n1\n")
    finally:
        banger.ok("vm", "delete", "box")


def test_what_the_state_does_not_rest_on_is_a_hit(banger: Banger, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "file").write_text("x")
    subprocess.run(["git", "-C", tmp_path, "add", "file"], check=True)
    for words in (["--name", "other"], ["--disk-size", "3G"], [str(tmp_path)], [str(tmp_path), "--include-untracked"]):
        assert kinds(banger, *SHAPE, *words) == {"vm.restore"}, words


def test_no_planted_secret_is_in_a_template_that_is_made_behind_a_users_vm(banger: Banger, tmp_path: Path) -> None:
    """Workspace, untracked file, environment, authorized key, and where the user keeps things."""
    checkout = tmp_path / SECRET
    subprocess.run(["git", "init", "-q", checkout], check=True)
    for name in ("tracked", "untracked", ".env"):
        (checkout / name).write_text(f"{name} {SECRET}\n")
    subprocess.run(["git", "-C", checkout, "add", "tracked"], check=True)
    words = ("--vcpu", "1", "--memory", "320", str(checkout), "--include-untracked", "--name", SECRET.lower()[:20])
    seen = banger.run("vm", "run", "--rm", *words, "--", "cat", "tracked", "untracked", TOKEN=SECRET)
    assert seen.stdout.count(SECRET) == 2, seen.stderr
    wait_until(lambda: len(json.loads(banger.ok("template", "ls", "--json"))) > 1, 120)
    key = (banger.state / "ssh" / "id_ed25519.pub").read_bytes().split()[1]
    secrets = [SECRET.encode(), SECRET.lower()[:20].encode(), key, str(banger.home).encode()]
    places = [place for place in (banger.state / "cas" / "sha256").glob("*/*") if is_frozen(place)]
    assert len(places) >= 2
    for place in places:
        data = place.read_bytes()
        assert not [secret for secret in secrets if secret in data], place


def is_frozen(place: Path) -> bool:
    """Memory (by its size), the state of devices, or what a guest wrote to its disk (by their first bytes)."""
    with place.open("rb") as file:
        return place.stat().st_size in {320 << 20, 512 << 20} or file.read(4) in {b"QEVM", b"QFI\xfb"}
