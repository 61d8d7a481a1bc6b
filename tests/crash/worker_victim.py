"""One process in a network of its own that kills workers at every boundary, and looks at what the next one finds.

    python -m tests.crash.worker_victim DIRECTORY boundaries|CALL [PLACE...]

Boundaries are those that the code names; CALL is a system call, such as sendto. Without places: at each of them.
Prints one line of JSON for each; ends with 1 if anything was left.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

from banger.worker import wire
from banger.worker.journal import Journal
from banger.worker.net import NetExecutor
from banger.worker.validation import instance_of

A, B = "a" * 32, "b" * 32
INSTANCE = instance_of(0, IPv4Network("172.29.0.0/24"))
STEPS: list[wire.AnyRequest] = [
    wire.HoldBridge(seq=1, vm=A),
    wire.HoldTap(seq=2, vm=A),
    wire.HoldNat(seq=3, vm=A, egress=True, peers=True, allow=(wire.Destination(0, 0, "tcp", 1, 9),)),
    wire.HoldBridge(seq=4, vm=B),
    wire.HoldTap(seq=5, vm=B),
    wire.HoldNat(seq=6, vm=A, egress=False, peers=True, allow=()),
    wire.Release(seq=7, kind="nat", vm=A),
    wire.Release(seq=8, kind="tap", vm=A),
    wire.Release(seq=9, kind="bridge", vm=A),
    wire.Release(seq=10, kind="tap", vm=B),
    wire.Release(seq=11, kind="bridge", vm=B),
]
_HOST = """
ip link set lo up; ip link add up0 type veth peer name lan0; ip addr add 192.0.2.2/24 dev up0
ip link set lan0 up; ip link set up0 up; ip route add default via 192.0.2.1; mount -t sysfs none /sys
"""
Checkpoint = Callable[[str], None]


def objects() -> str:
    """What is there that a worker could have made."""
    script = (
        "ip -o link | cut -d: -f2 | cut -d@ -f1 | sort; nft list ruleset; cat /proc/sys/net/ipv4/conf/up0/forwarding"
    )
    return subprocess.run(["sh", "-ec", script], check=True, stdout=subprocess.PIPE, text=True).stdout


def forked(work: Callable[[], None]) -> bool:
    """Do something in a child; return whether it came to its end."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in {0, 9}, f"a worker ended with {status}"
    return status == 0


def run(directory: int, checkpoint: Checkpoint) -> None:
    """A worker's life, without the socket."""
    executor = NetExecutor(INSTANCE, 0, Journal(directory, "boot"), checkpoint)
    assert executor.reconcile() == []
    for step in STEPS:
        executor.perform(step)


def recover(directory: int) -> None:
    """The next worker: what it has is what it says, and it can take all of it away."""
    journal = Journal(directory, "boot")
    executor = NetExecutor(INSTANCE, 0, journal)
    assert executor.reconcile() == []
    assert journal.begun() == [], "nothing is half done"
    for lease in journal.all_held():
        assert lease.kind == "forward" or alive(executor, lease.kind, lease.key), lease
    seen = objects()
    for vm in (A, B):
        assert (f"bt-{vm[:8]}" in seen) == (journal.held("tap", vm) is not None)
    assert ("bb-" in seen) == bool(journal.all_held("bridge"))
    executor.reconcile()
    assert objects() == seen, "to look twice changes nothing"
    for vm in (A, B):
        for kind in ("nat", "tap", "bridge"):
            executor.perform(wire.Release(seq=1, kind=kind, vm=vm))
    assert journal.all_held() == []


def alive(executor: NetExecutor, kind: str, vm: str) -> bool:
    """Probe."""
    reply = executor.perform(wire.Probe(seq=1, kind=kind, vm=vm))  # type: ignore[arg-type]
    assert isinstance(reply, wire.Alive)
    return reply.alive


def say(line: dict[str, object]) -> None:
    """Tell the test."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(place: Path, what: str, wanted: set[int]) -> int:
    """Kill at each boundary in turn."""
    if what == "once":
        run(os.open(place, os.O_RDONLY | os.O_DIRECTORY), lambda _: None)
        return 0
    subprocess.run(["sh", "-ec", _HOST], check=True)
    before = objects()
    leaks = boundaries = 0
    for number in sorted(wanted) or itertools.count(1):
        directory = place / str(number)
        directory.mkdir()
        where = kill_at(directory, number) if what == "boundaries" else kill_at_call(directory, what, number)
        left = objects() != before
        leaks += left
        if not where:
            break
        boundaries += 1
        say({"number": number, "where": where, "left": left})
    say({"boundaries": boundaries, "leaks": leaks})
    return 1 if leaks else 0


def kill_at(directory: Path, number: int) -> str:
    """Kill a worker at its boundary of that number, and have another come; return which it was, "" if there is none."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    where, passed = directory / "where", itertools.count(1)

    def checkpoint(name: str) -> None:
        if next(passed) == number:
            where.write_text(name)
            os.kill(os.getpid(), 9)

    ended = forked(lambda: run(opened, checkpoint))
    assert forked(lambda: recover(opened))
    os.close(opened)
    return "" if ended else where.read_text()


def kill_at_call(directory: Path, call: str, number: int) -> str:
    """Likewise, in a system call: it may have been done, but nobody hears of it."""
    argv = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    argv += ["-e", f"inject={call}:signal=KILL:when={number}", sys.executable, "-m", "tests.crash.worker_victim"]
    ended = subprocess.run([*argv, str(directory), "once"], check=False, timeout=60).returncode == 0
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    assert forked(lambda: recover(opened))
    os.close(opened)
    return "" if ended else call


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], {int(word) for word in sys.argv[3:]}))
