"""VMs that wait in a pool are nobody's until they are taken, and go when what they were made from is outdated."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.installation import wait_until
from tests.real import Banger, copy_state

pytestmark = pytest.mark.vm
SHAPE = ("--vcpu", "1", "--memory", "512", "--disk-size", "1G")


@pytest.fixture(scope="module")
def banger(ready_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Banger]:
    banger = copy_state(ready_state, tmp_path_factory.mktemp("home"))
    banger.env["BANGER_TEMPLATES"] = "on"
    try:
        banger.ok("template", "build", *SHAPE[:4], "--quiet")
        yield banger
    finally:
        banger.ok("pool", "keep", "0", *SHAPE)
        wait_until(lambda: not banger.vmms(), 30)
        banger.stop()
        (banger.state / "pools.json").unlink()
    assert banger.litter() == []


def ready(banger: Banger) -> int:
    (pool,) = json.loads(banger.ok("pool", "ls", "--json"))
    return int(pool["ready"])


def test_a_vm_that_waited_is_whoever_takes_it_and_another_takes_its_place(banger: Banger) -> None:
    banger.ok("pool", "keep", "1", *SHAPE)
    wait_until(lambda: ready(banger) == 1, 60)
    (waiting,) = banger.vmms()
    assert banger.ok("vm", "list", "--json") == "[]\n"
    vm = json.loads(banger.ok("vm", "create", "--name", "box", *SHAPE, "--json"))
    assert vm["pid"] == waiting
    look = "hostname; cat /etc/machine-id; grep -c ' /root ext4' /proc/mounts; date +%s"
    name, machine, mounts, now = banger.ok("vm", "exec", "box", "--", "sh", "-c", look).split()
    assert (name, machine, mounts) == ("box", vm["id"], "1")
    assert abs(time.time() - int(now)) < 20
    assert banger.ok("vm", "ssh", "box", "--", "hostname") == "box\n"
    wait_until(lambda: ready(banger) == 1, 60)
    banger.ok("vm", "delete", "box")
    other = json.loads(banger.ok("vm", "create", "--name", "other", *SHAPE[:4], "--disk-size", "2G", "--json"))
    assert other["pid"] not in {waiting, *banger.vmms()[:0]}
    banger.ok("vm", "delete", "other")
    assert ready(banger) == 1


def test_the_next_daemon_finds_what_waits(banger: Banger) -> None:
    banger.ok("pool", "keep", "1", *SHAPE)
    wait_until(lambda: ready(banger) == 1, 60)
    (waiting,) = banger.vmms()
    banger.stop()
    assert ready(banger) == 1
    vm = json.loads(banger.ok("vm", "create", *SHAPE, "--json"))
    assert vm["pid"] == waiting
    banger.ok("vm", "delete", vm["name"])


@pytest.mark.nightly
def test_a_vm_whose_template_is_gone_is_dropped(banger: Banger) -> None:
    banger.ok("pool", "keep", "1", *SHAPE)
    wait_until(lambda: ready(banger) == 1, 60)
    (waiting,) = banger.vmms()
    (template,) = json.loads(banger.ok("template", "ls", "--json"))
    banger.ok("template", "rm", template["digest"])
    assert ready(banger) == 0
    banger.ok("pool", "keep", "1", *SHAPE)  # has it look at once
    wait_until(lambda: waiting not in banger.vmms(), 60)
    wait_until(lambda: ready(banger) == 1, 120)  # a new template is made, and a VM from it


def test_a_daemon_killed_while_it_gives_one_out_leaves_nothing_of_it(banger: Banger) -> None:
    banger.stop()
    banger.ok("pool", "keep", "1", *SHAPE, BANGER_FAULT="guest.identity:applied")
    wait_until(lambda: ready(banger) == 1, 60)
    assert banger.run("vm", "create", "--name", "box", *SHAPE).returncode != 0
    assert banger.ok("vm", "list", "--json") == "[]\n"
    banger.ok("pool", "keep", "0", *SHAPE)
    wait_until(lambda: not banger.vmms() and banger.leases() == [], 30)
