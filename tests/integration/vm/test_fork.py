"""A fork goes on from where its parent was, and is another machine; the parent notices nothing but a pause."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import Banger, copy_state

pytestmark = pytest.mark.vm
SHAPE = ("--vcpu", "1", "--memory", "512", "--disk-size", "1G")
BEAT = "setsid sh -c 'while :; do echo >> /dev/shm/beats; sleep 0.2; done' > /dev/null 2>&1 < /dev/null &"
IDENTITY = (
    "hostname; cat /etc/machine-id; cat /sys/class/net/eth0/address; head -c 32 /dev/urandom | sha256sum;"
    " cat /run/banger/ssh_host_ed25519_key.pub; date +%s.%N"
)


@pytest.fixture(scope="module")
def banger(ready_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Banger]:
    banger = copy_state(ready_state, tmp_path_factory.mktemp("home"))
    banger.env["BANGER_TEMPLATES"] = "on"
    try:
        banger.ok("template", "build", *SHAPE[:4], "--quiet")
        yield banger
    finally:
        names = [vm["name"] for vm in json.loads(banger.ok("vm", "list", "--json"))]
        if names:
            banger.ok("vm", "delete", *names)
        banger.stop()
    assert banger.litter() == []


def shell(banger: Banger, name: str, script: str) -> str:
    return banger.ok("vm", "exec", name, "--", "sh", "-c", script)


def beats(banger: Banger, name: str) -> int:
    return int(shell(banger, name, "wc -l < /dev/shm/beats"))


@pytest.mark.parametrize("how", ["restored", pytest.param("booted", marks=pytest.mark.nightly)])
def test_a_fork_goes_on_from_its_parent_and_is_another_machine(banger: Banger, how: str) -> None:
    banger.ok("vm", "create", "--name", how, *SHAPE, *(["--cold"] if how == "booted" else []))
    shell(banger, how, f"echo kept > /root/file; echo kept > /etc/file; echo kept > /dev/shm/file; {BEAT}")
    before = beats(banger, how)
    made = banger.ok("vm", "fork", how, "-n", "2", "--name", f"{how}-child").split()
    assert made == [f"{how}-child-1", f"{how}-child-2"]
    told = {name: shell(banger, name, IDENTITY).splitlines() for name in (how, *made)}
    now = time.time()
    for column in range(5):
        assert len({lines[column] for lines in told.values()}) == 3, column
    assert all(lines[0] == name for name, lines in told.items())
    assert all(abs(now - float(lines[5])) < 20 for lines in told.values())
    for name in (how, *made):
        assert shell(banger, name, "cat /root/file /etc/file /dev/shm/file") == "kept\n" * 3
        first = beats(banger, name)
        time.sleep(0.5)
        assert beats(banger, name) > first >= before  # what ran goes on running, here as there
    shell(banger, made[0], "echo mine > /root/file; echo mine > /etc/file; sync")
    assert shell(banger, how, "cat /root/file /etc/file") == shell(banger, made[1], "cat /root/file /etc/file")
    assert banger.ok("vm", "ssh", made[0], "--", "cat", "/root/file") == "mine\n"
    assert json.loads(banger.ok("vm", "show", made[0], "--json"))["forked_from"] == how
    assert f"forked from: {how}" in banger.ok("vm", "show", made[1])
    assert "FORKED FROM" in banger.ok("vm", "list")
    banger.ok("vm", "delete", how, *made)


def test_a_vm_that_does_not_run_cannot_be_forked_and_a_name_is_taken_once(banger: Banger) -> None:
    banger.ok("vm", "create", "--name", "one", *SHAPE)
    taken = banger.run("vm", "fork", "one", "--name", "one")
    assert (taken.returncode, "there is a VM called one already" in taken.stderr) == (1, True)
    banger.ok("vm", "stop", "one")
    stopped = banger.run("vm", "fork", "one")
    assert (stopped.returncode, "is stopped" in stopped.stderr) == (1, True)
    banger.ok("vm", "delete", "one")


@pytest.mark.parametrize(
    "place", ["vm.restore:applied", pytest.param("guest.identity:applied", marks=pytest.mark.nightly)]
)
def test_a_daemon_killed_in_a_fork_leaves_the_parent_and_nothing_else(banger: Banger, place: str) -> None:
    banger.ok("vm", "create", "--name", "whole", *SHAPE)
    banger.stop()
    done = banger.run("vm", "fork", "whole", BANGER_FAULT=place)
    assert done.returncode != 0
    assert [vm["name"] for vm in json.loads(banger.ok("vm", "list", "--json")) if "whole" in vm["name"]] == ["whole"]
    assert shell(banger, "whole", "hostname") == "whole\n"
    banger.ok("vm", "delete", "whole")


def test_what_a_fork_began_as_stays_while_it_is_there_and_its_parent_may_go(banger: Banger) -> None:
    banger.ok("vm", "create", "--name", "old", *SHAPE)
    shell(banger, "old", "echo kept > /root/file; sync")
    assert banger.ok("vm", "fork", "old").split() == ["old-fork-1"]
    banger.ok("vm", "delete", "old")
    banger.ok("cache", "prune", "--all")
    owned = [one for one in json.loads(banger.ok("cache", "ls", "--json")) if "old-fork-1" in one["owners"]]
    (memory,) = [one["digest"] for one in owned if one["size_bytes"] == 512 << 20]
    banger.ok("vm", "stop", "old-fork-1")
    banger.ok("vm", "start", "old-fork-1")
    assert shell(banger, "old-fork-1", "hostname; cat /root/file") == "old-fork-1\nkept\n"
    banger.ok("vm", "delete", "old-fork-1")
    banger.ok("cache", "prune", "--all")
    assert memory not in {one["digest"] for one in json.loads(banger.ok("cache", "ls", "--json"))}
