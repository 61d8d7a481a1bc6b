"""Real guests under QEMU, each with a TAP and an address of its own, made and removed by `banger` and a worker."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.worker.wire import Done
from tests.fakes.netlab import LAN_ADDRESS, METADATA_ADDRESS, WAY_OUT_ADDRESS, Lab, Worker, open_lab
from tests.real import BANGER, DEADLINE_S, Banger, copy_state

pytestmark = [pytest.mark.root, pytest.mark.vm]
PORT = 8080


class LabBanger(Banger):
    """`banger`, as somebody types it on the lab's host."""

    def __init__(self, home: Path, lab: Lab) -> None:
        super().__init__(home)
        self._lab = lab
        self.env["BANGER_WORKER_SOCKET"] = str(lab.socket)

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `banger` to its end."""
        argv = self._lab.host.argv(BANGER, *words)
        given = self.env | env
        return subprocess.run(
            argv, env=given, capture_output=True, text=True, timeout=DEADLINE_S, check=False, stdin=subprocess.DEVNULL
        )

    def show(self, vm: str) -> dict[str, dict[str, object]]:
        """What is said of a VM."""
        found: dict[str, dict[str, object]] = json.loads(self.ok("vm", "show", vm, "--json"))
        return found

    def reach(self, vm: str, address: object, port: int, *, within_s: int = 20) -> str | None:
        """Connect from inside a VM; return the line that is said there."""
        script = f"timeout {within_s} bash -c 'exec 3<>/dev/tcp/{address}/{port} && head -c 15 <&3' 2>/dev/null"
        done = self.run("vm", "exec", vm, "--", "sh", "-c", script)
        return done.stdout if done.returncode == 0 else None


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("lab"), owner=0) as lab:
        lab.lan.serve(PORT)
        yield lab


@pytest.fixture
def worker(lab: Lab) -> Iterator[Worker]:
    worker = lab.start_worker()
    yield worker
    worker.stop()


@pytest.fixture
def banger(lab: Lab, worker: Worker, ready_state: Path, tmp_path: Path) -> Iterator[LabBanger]:
    assert worker.held() == set()
    copy_state(ready_state, tmp_path / "home")
    banger = LabBanger(tmp_path / "home", lab)
    try:
        yield banger
    finally:
        for vm in json.loads(banger.ok("vm", "list", "--json")):
            banger.ok("vm", "delete", vm["name"])
        banger.stop()
    assert banger.litter() == []


@pytest.mark.requirement("NET-001")
@pytest.mark.requirement("NET-002")
@pytest.mark.requirement("NET-007")
@pytest.mark.requirement("DMN-016")
def test_two_vms_have_addresses_of_their_own_and_leave_nothing(lab: Lab, worker: Worker, banger: LabBanger) -> None:
    before = lab.host.objects()
    banger.ok("vm", "create", "--name", "one")
    banger.ok("vm", "create", "--name", "two", "--no-nat")
    one, two = banger.show("one"), banger.show("two")
    assert one["ssh"]["host"] != two["ssh"]["host"]
    assert one["ssh"]["port"] == 22
    assert banger.ok("vm", "ssh", "one", "--", "echo", "hello") == "hello\n"
    assert banger.reach("one", LAN_ADDRESS, PORT) == WAY_OUT_ADDRESS
    assert banger.reach("two", LAN_ADDRESS, PORT, within_s=2) is None
    assert banger.reach("one", METADATA_ADDRESS, PORT, within_s=2) is None
    assert banger.reach("one", two["ssh"]["host"], 22, within_s=2) is None
    for vm in (one, two):
        assert isinstance(worker.nat(str(vm["id"]), egress=True, peers=True), Done)
    assert (banger.reach("one", two["ssh"]["host"], 22) or "").startswith("SSH-2.0")
    banger.ok("vm", "stop", "one")
    assert worker.held() == {(kind, str(two["id"])) for kind in ("bridge", "tap", "nat")}
    banger.ok("vm", "start", "one")
    assert banger.show("one")["ssh"]["host"] == one["ssh"]["host"], "an address is kept where it can be"
    for name in ("one", "two"):
        banger.ok("vm", "delete", name)
    assert worker.held() == set()
    assert lab.host.objects() == before
