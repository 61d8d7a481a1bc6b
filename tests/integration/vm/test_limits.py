"""Many VMs at once, and many one after another: no failure, no name lost or given twice, and nothing that grows.

The VMs are fake (tests/fakes/vmm.c), so that what is measured is banger: real command line, daemon, engine, store,
disks and agent. The whole numbers are the nightly ones; a part of them runs by default.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.vmm import build_fake_vmm, use_fake_vmm
from tests.real import Banger, copy_state

pytestmark = [pytest.mark.vm, pytest.mark.network]

MIB = 1024 * 1024
SIZES = {"vcpus": 1, "memory_mib": 128, "disk_bytes": 256 * MIB}
MOST_RSS_MIB = 400


@pytest.fixture(scope="module")
def fake_vmm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fake_vmm(tmp_path_factory.mktemp("fake"))


@pytest.fixture
def crowd(ready_state: Path, fake_vmm: Path, tmp_path: Path) -> Iterator[Banger]:
    """An installation whose VMs are fake. What is there at the end is deleted, and then nothing may be left."""
    banger = copy_state(ready_state, tmp_path)
    use_fake_vmm(banger, fake_vmm)
    banger.ok("vm", "list")
    try:
        yield banger
    finally:
        banger.run("vm", "delete", "--all", "--yes")
        banger.stop()
    assert banger.litter() == []


def call(banger: Banger, method: str, path: str, body: object = None) -> Any:
    """Have the daemon do something, as the command line does; return its result."""
    client = banger.client()
    assert client
    with client:
        operation = client.request(method, path, body)
        assert isinstance(operation, dict)
        *_, last = client.stream(f"/v1/operations/{operation['id']}/events")
    assert last["event"] == "result", last
    return last["value"]


def create(banger: Banger, name: str | None) -> Any:
    return call(banger, "POST", "/v1/vms", {"vm": {"sizes": SIZES, "name": name, "wait_ssh": False, "cold": True}})


def create_many(banger: Banger, count: int) -> None:
    """Create half of them by name and half without one, all at once; the sums must come out."""
    began = time.monotonic()
    names = [f"vm-{number}" if number % 2 else None for number in range(count)]
    with ThreadPoolExecutor(count) as pool:
        made = list(pool.map(lambda name: create(banger, name), names))
    took_s = time.monotonic() - began
    listed = json.loads(banger.ok("vm", "list", "--json"))
    assert [vm["state"] for vm in listed] == ["running"] * count
    assert sorted(vm["name"] for vm in listed) == sorted(vm["name"] for vm in made)
    assert len({vm["name"] for vm in listed}) == len({vm["id"] for vm in listed}) == count
    assert {f"vm-{number}" for number in range(1, count, 2)} <= {vm["name"] for vm in listed}
    assert len({vm["address"] for vm in listed}) == len({vm["ssh"]["port"] for vm in listed}) == count
    assert len(banger.vmms()) >= count
    assert usage(banger)["rss_mib"] < MOST_RSS_MIB
    print(f"{count} creates: {took_s:.1f} s, {count / took_s:.1f} a second")  # noqa: T201


@pytest.mark.requirement("DMN-013")
@pytest.mark.requirement("DMN-027")
def test_twelve_creates_at_once_all_succeed_and_no_name_is_lost_or_double(crowd: Banger) -> None:
    create_many(crowd, 12)
    with ThreadPoolExecutor(4) as pool:  # of those who want one name, one gets it
        done = list(pool.map(lambda _: crowd.run("vm", "create", "--name", "wanted", "--memory", "128M"), range(4)))
    assert sorted(ending.returncode for ending in done) == [0] + [1] * 3
    assert all("there is a VM called wanted already" in ending.stderr for ending in done if ending.returncode)
    crowd.ok("vm", "delete", "--all", "--yes")
    assert json.loads(crowd.ok("vm", "list", "--json")) == []


@pytest.mark.nightly
def test_sixty_four_creates_at_once_all_succeed(crowd: Banger) -> None:
    create_many(crowd, 64)


def usage(banger: Banger) -> dict[str, float]:
    """What the daemon has open and takes, and what there is on the disk."""
    pid = banger.daemon_pid()
    assert pid
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(status["Threads"]),
        "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
        "files": sum(len(files) for _, _, files in os.walk(banger.state)),
    }


def cycle(banger: Banger, number: int) -> None:
    """Create, run something, delete."""
    vm = create(banger, f"cycle-{number}")
    assert vm["state"] == "running"
    if number % 10 == 0:  # the command line is not what may grow here
        assert banger.ok("vm", "exec", vm["name"], "--", "echo", "here") == "here\n"
    call(banger, "DELETE", f"/v1/vms/{vm['name']}")


def cycles(banger: Banger, count: int) -> None:
    """What is there after the first tenth, when all is warm, is there at the end, and no more."""
    warm = max(8, count // 10)
    measured = []
    for number in range(count):
        cycle(banger, number)
        if number >= warm:
            measured.append(usage(banger))
    third = max(1, len(measured) // 3)
    for what, may_grow in {"descriptors": 2.0, "threads": 2.0, "files": 8.0, "rss_mib": 12.0}.items():
        before = statistics.median(one[what] for one in measured[:third])
        after = statistics.median(one[what] for one in measured[-third:])
        assert after <= before + may_grow, (what, before, after)
        print(f"{what}: {before:.1f} -> {after:.1f}")  # noqa: T201


def test_twenty_cycles_leave_nothing_behind(crowd: Banger) -> None:
    cycles(crowd, 20)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_thousand_cycles_leave_nothing_behind(crowd: Banger) -> None:
    cycles(crowd, 1000)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_eight_real_vms_at_once_come_up(banger: Banger) -> None:
    banger.ok("vm", "list")
    names = [f"real-{number}" for number in range(8)]
    begun = [banger.begin("vm", "create", "--name", name, "--memory", "256M", "--vcpu", "1") for name in names]
    said = [process.communicate(timeout=900) for process in begun]
    assert [process.returncode for process in begun] == [0] * 8, said
    assert [out for out, _ in said] == [f"{name}\n" for name in names]
    for name in names:
        assert banger.ok("vm", "exec", name, "--", "hostname") == f"{name}\n"
    assert banger.ok("vm", "delete", *names).split() == names


def test_who_deletes_a_vm_that_is_being_stopped_has_it_gone(crowd: Banger) -> None:
    create(crowd, "stubborn")
    stopping = crowd.begin("vm", "stop", "stubborn")
    time.sleep(0.5)
    assert crowd.ok("vm", "kill", "stubborn") == "stubborn\n"
    out, err = stopping.communicate(timeout=30)
    assert (stopping.returncode, out) == (0, "stubborn\n"), err
    assert subprocess.run(["pgrep", "-f", "guest=banger-stubborn"], check=False).returncode == 1
    assert json.loads(crowd.ok("vm", "show", "stubborn", "--json"))["state"] == "stopped"
