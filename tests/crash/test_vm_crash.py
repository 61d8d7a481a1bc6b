"""kill -9 of the daemon, the command line or QEMU at every boundary of a real VM's life; then the next command works.

The daemon is told by BANGER_FAULT where to die, or where to stand still until somebody else has been killed.
"""

import os
import signal
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.fakes.installation import wait_until
from tests.real import Banger

pytestmark = [pytest.mark.vm, pytest.mark.network, pytest.mark.slow]

RUN = ("vm", "run", "--rm", "--quiet", "--vcpu", "1", "--memory", "256", "--", "true")
APPLYING = ("before-intent", "intended", "applied", "held")
UNDOING = ("releasing", "undone", "dropped")
BEFORE_BOOT = ("vm.record", "vm.directory", "net.user", "ssh.host_key", "disk.rootfs", "disk.work")
EFFECTS = (*BEFORE_BOOT, "vm.boot", "guest.identity")
BUILDS = {
    "guest.initramfs": ("started", "made", "recorded"),
    "kernel.unpack": ("started", "made", "recorded"),
    "kernel.fetch": ("started", "made"),
    "image.work_seed": ("started", "made", "recorded"),
    "image.rootfs": ("started", "made"),
    "image.packages": ("started", "made"),
    "image.bootstrap": ("started",),
}
ALWAYS_WHOLE = frozenset({"vm.boot", "vm.record", "guest.initramfs"})
BY_NIGHT = frozenset({"image.bootstrap"})  # it is made again afterwards, which takes most of a minute


def boundaries(points_of: dict[str, tuple[str, ...]]) -> list[ParameterSet]:
    """Every point of every node: of some nodes all each time, of the others one each time and the rest every night."""
    return [
        pytest.param(
            f"{node}:{point}",
            marks=()
            if node in ALWAYS_WHOLE or (index == turn % len(points) and node not in BY_NIGHT)
            else pytest.mark.nightly,
        )
        for turn, (node, points) in enumerate(points_of.items())
        for index, point in enumerate(points)
    ]


APPLY_POINTS = boundaries(dict.fromkeys(EFFECTS, APPLYING))
UNDO_POINTS = boundaries(dict.fromkeys(EFFECTS, UNDOING))
BUILD_POINTS = boundaries(BUILDS)
RUN_POINTS = ["run:concluded", "run:handed-over"]


def kill_and_wait(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text())


def is_stopped(pid: int | None) -> bool:
    return pid is not None and "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()


def settle(banger: Banger) -> None:
    """The next command: whatever it shows can be deleted, and then nothing is left."""
    for name in banger.ok("vm", "list", "--json").split('"name": "')[1:]:
        banger.run("vm", "delete", name.partition('"')[0])
    wait_until(lambda: banger.litter() == [], 30)


@pytest.mark.parametrize("fault", [*APPLY_POINTS, *RUN_POINTS])
def test_the_daemon_killed_in_a_create_leaves_nothing(banger: Banger, fault: str) -> None:
    banger.stop()
    done = banger.run(*RUN, BANGER_FAULT=fault)
    assert done.returncode == 2
    assert "daemon" in done.stderr
    assert banger.daemon_pid() is None
    settle(banger)


@pytest.mark.parametrize("fault", BUILD_POINTS)
def test_the_daemon_killed_in_a_build_leaves_nothing_and_builds_on(banger: Banger, fault: str) -> None:
    banger.stop()
    banger.forget(fault.partition(":")[0])
    assert banger.run(*RUN, BANGER_FAULT=fault).returncode == 2
    settle(banger)


@pytest.mark.parametrize("fault", UNDO_POINTS)
def test_the_daemon_killed_in_a_delete_finishes_it_at_the_next_command(banger: Banger, fault: str) -> None:
    banger.stop()
    done = banger.run(*RUN, BANGER_FAULT=fault)
    assert done.returncode == 0, done.stderr  # the command had ended well
    settle(banger)


@pytest.mark.parametrize("fault", [*(f"{node}:held" for node in EFFECTS), *RUN_POINTS])
def test_the_command_line_killed_in_a_create_leaves_nothing(banger: Banger, fault: str) -> None:
    banger.stop()
    with banger.begin(*RUN, BANGER_FAULT=f"{fault}:stop") as command:
        wait_until(lambda: is_stopped(banger.daemon_pid()), 60)
        command.kill()
    daemon = banger.daemon_pid()
    assert daemon
    os.kill(daemon, signal.SIGCONT)
    wait_until(lambda: banger.litter() == [], 60)  # with no next command at all


@pytest.mark.parametrize(
    "fault",
    ["vm.boot:applied", "vm.boot:held", "guest.identity:intended", "guest.identity:held", *RUN_POINTS],
)
def test_qemu_killed_in_a_create_is_an_error_and_leaves_nothing(banger: Banger, fault: str) -> None:
    banger.stop()
    with banger.begin(*RUN, BANGER_FAULT=f"{fault}:stop") as command:
        wait_until(lambda: is_stopped(banger.daemon_pid()), 60)
        (vmm,) = banger.vmms()
        kill_and_wait(vmm)
        daemon = banger.daemon_pid()
        assert daemon
        os.kill(daemon, signal.SIGCONT)
        _, said = command.communicate(timeout=120)
    assert command.returncode != 0
    assert "\nbanger: " in said, said
    assert "\n  try: banger " in said, said
    settle(banger)


def test_after_all_that_a_vm_runs(banger: Banger) -> None:
    banger.stop()
    assert banger.ok("vm", "run", "--rm", "--", "echo", "alive") == "alive\n"
