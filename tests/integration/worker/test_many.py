"""250 TAPs: what each takes beyond what the kernel takes for it, and that nothing grows.

The kernel's part is one transaction of nft, the TAP, its place on the bridge, and two lines that are synced to the disk
(an intent, and the audit's); the disk takes most of it.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from banger.worker.validation import instance_of, mac_address, tap_name
from banger.worker.wire import Attached, HoldTap, Refused
from tests.fakes.netlab import NETWORK, OWNER, Lab, open_lab

pytestmark = [pytest.mark.root]
MOST_BEYOND_MS = 10.0
_BASELINE = """
import os, sys, time
from banger.worker.netlink import Netlink
from banger.worker.nft import Nft
from banger.worker.tap import make_tap
table, count = sys.argv[1], int(sys.argv[2])
logs = [os.open(f"{sys.argv[3]}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND) for name in "12"]
netlink, nft = Netlink(), Nft()
netlink.add_bridge("plain", "02:00:00:00:00:01")
bridge = netlink.link("plain").index
nft.run(f"add table bridge {table}; add set bridge {table} s {{ type ifname . ether_addr . ipv4_addr; }}")
for number in range(count):
    name = f"plain{number}"
    began = time.perf_counter()
    nft.run(f"add element bridge {table} s {{ {name} . 02:00:00:00:00:02 . 10.0.{number // 250}.{number % 250} }}")
    make_tap(name, 0, lambda: netlink.set_link(netlink.link(name).index, alias=name, master=bridge, is_up=True))
    for log in logs:
        os.write(log, bytes(150))
        os.fdatasync(log)
    print(time.perf_counter() - began)
for number in range(count):
    netlink.delete_link(netlink.link(f"plain{number}").index)
"""


def timed(what: Callable[[], object]) -> float:
    """How many milliseconds something takes."""
    began = time.perf_counter()
    what()
    return (time.perf_counter() - began) * 1000


def hold_and_release(lab: Lab, count: int) -> tuple[float, float]:
    """Return the median of a TAP through the worker, and of the kernel's work alone, in milliseconds."""
    worker = lab.start_worker()
    before = lab.host.objects()
    vms = [f"{number:08x}{0:024x}" for number in range(count)]
    descriptors = Path(f"/proc/{worker.process.pid}/fd")
    for vm in vms:
        worker.bridge(vm)

    def hold(vm: str) -> None:
        assert isinstance(worker.ask(lambda seq: HoldTap(seq=seq, vm=vm)), Attached)

    open_before = len(os.listdir(descriptors))  # noqa: PTH208 - a count
    through = [timed(partial(hold, vm)) for vm in vms]
    assert len(os.listdir(descriptors)) == open_before  # noqa: PTH208
    argv = lab.host.argv(sys.executable, "-c", _BASELINE, "plain", str(count), str(lab.directory))
    alone = [float(line) * 1000 for line in subprocess.run(
        argv, check=True, stdout=subprocess.PIPE, text=True, timeout=250).stdout.split()]  # fmt: skip
    lab.host.sh("nft delete table bridge plain; ip link delete plain")
    worker.process.kill()
    worker.process.wait()
    began = time.perf_counter()
    worker = lab.start_worker()
    assert time.perf_counter() - began < 4.0, "reconciled in 2 s, and Python started"
    assert len(worker.held()) == 2 * count
    worker.release_all(*vms)
    assert lab.host.objects() == before
    return statistics.median(through), statistics.median(alone)


def test_a_tap_takes_little_beyond_what_the_kernel_takes(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        through, alone = hold_and_release(lab, 30)
    assert through - alone <= MOST_BEYOND_MS, (through, alone)


@pytest.mark.nightly
def test_each_of_250_taps_takes_little_beyond_what_the_kernel_takes(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        through, alone = hold_and_release(lab, 250)
    assert through - alone <= MOST_BEYOND_MS, (through, alone)


def test_one_vm_more_than_there_may_be_is_refused(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        worker = lab.start_worker()
        vms = [f"{number:08x}{0:024x}" for number in range(251)]
        for vm in vms[:-1]:
            worker.bridge(vm)
        reply = worker.bridge(vms[-1])
        assert isinstance(reply, Refused)
        assert reply.code == "quota"
        assert len({mac_address(vm) for vm in vms}) == len({tap_name(vm) for vm in vms}) == len(vms)
        assert instance_of(OWNER, IPv4Network(NETWORK)).slots == 250
