"""Real QEMU processes: started, recognised without a record, outliving their starter, and ended."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from banger.host.pidfd import ProcessIdentity, identify, is_alive, open_process
from banger.host.process import run
from banger.host.tools import get_tool
from banger.model.errors import ConflictError, DeadlineError, HostError, TransientError
from banger.vm import Accelerator, Disk, DiskFormat, GuestState, UserNetwork
from banger.vm import qemu as qemu_module
from banger.vm.console import BoundedLog, tail
from banger.vm.disks import create_empty
from banger.vm.processes import find_processes
from banger.vm.qemu import Qemu, console_log, trim_logs
from banger.vm.stop import StoppedBy, kill
from tests.unit.vm.machines import FLOOD_SERIAL, machine_of

pytestmark = pytest.mark.anyio
MAC = "52:54:00:12:34:56"

STARTER = """
import os, signal, sys, anyio
from pathlib import Path
from banger.vm import qemu
from tests.unit.vm.machines import machine_of

async def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

qemu._wait_monitor = die  # the first thing after the process exists
anyio.run(lambda: qemu.Qemu.installed().launch(machine_of(Path(sys.argv[1]), "test-1"), deadline_s=10))
"""


async def test_a_machine_is_launched_paused_resumed_and_quit(qemu: Qemu, tmp_path: Path) -> None:
    machine = machine_of(tmp_path, "test-0")
    identity = await qemu.launch(machine, deadline_s=10)
    assert list(qemu.find("test-0")) == [identity]
    assert await qemu.guest_state(tmp_path) is GuestState.RUNNING
    await qemu.pause(tmp_path)
    await qemu.pause(tmp_path)
    assert await qemu.guest_state(tmp_path) is GuestState.PAUSED
    await qemu.resume(tmp_path)
    assert await qemu.guest_state(tmp_path) is GuestState.RUNNING
    await qemu.quit(tmp_path)
    with open_process(identity) as process:
        assert process is None or await process.wait(5)
    assert not is_alive(identity)
    assert not qemu.find("test-0")


async def test_the_process_holds_nothing_of_its_starter(qemu: Qemu, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        identity = await qemu.launch(machine_of(tmp_path, "test-0"), deadline_s=10)
    finally:
        os.close(writer)
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb", buffering=0) as end:
        assert end.read() == b"", "QEMU holds the other end of a pipe of ours"
    assert os.getsid(identity.pid) == identity.pid
    process = Path(f"/proc/{identity.pid}")
    links = {name: (process / name).readlink() for name in ("fd/0", "fd/1", "fd/2", "cwd")}
    nowhere = Path("/dev/null")
    assert links == {"fd/0": nowhere, "fd/1": nowhere, "fd/2": tmp_path / "vmm.log", "cwd": tmp_path}
    environment = (process / "environ").read_bytes()
    assert {name.partition(b"=")[0] for name in environment.split(b"\0") if name} == {b"PATH", b"LC_ALL"}
    assert (await kill(identity)).by is StoppedBy.KILL


async def test_a_write_past_the_limit_is_an_error_to_qemu_and_not_its_death(qemu: Qemu, tmp_path: Path) -> None:
    """Its processor threads block every signal, but its main thread would die of it while it writes to vmm.log."""
    identity = await qemu.launch(machine_of(tmp_path, "test-0"), deadline_s=10)
    status = await anyio.Path(f"/proc/{identity.pid}/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    assert ignored >> (signal.SIGXFSZ - 1) & 1


async def test_a_starter_killed_before_it_records_leaves_a_process_that_is_found(qemu: Qemu, tmp_path: Path) -> None:
    starter = await run([sys.executable, "-c", STARTER, tmp_path], deadline_s=30, cwd=Path(__file__).parents[3])
    assert starter.status == -signal.SIGKILL
    found = qemu.find("test-1")
    assert len(found) == 1
    with pytest.raises(ConflictError, match="runs already"):
        await qemu.launch(machine_of(tmp_path, "test-1"), deadline_s=10)
    await _until_monitor(qemu, tmp_path)
    assert (await kill(found[0])).by is StoppedBy.KILL
    assert not qemu.find("test-1")


async def _until_monitor(qemu: Qemu, vm_dir: Path) -> None:
    """The QEMU that nobody waited for is whole: it answers."""
    with anyio.fail_after(10):
        while True:
            try:
                assert await qemu.guest_state(vm_dir) is GuestState.RUNNING
            except HostError:
                await anyio.sleep(0.02)
            else:
                return


async def test_a_recorded_process_whose_number_is_reused_is_not_killed(qemu: Qemu, tmp_path: Path) -> None:
    identity = await qemu.launch(machine_of(tmp_path, "test-0"), deadline_s=10)
    stale = dataclasses.replace(identity, start_ticks=identity.start_ticks - 100)
    assert (await kill(stale)).by is StoppedBy.NOTHING
    assert is_alive(identity)


async def test_a_port_in_use_is_a_transient_error_and_leaves_no_process(qemu: Qemu, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        network = UserNetwork(taken.getsockname()[1], MAC)
        machine = dataclasses.replace(machine_of(tmp_path, "test-0"), network=network)
        with pytest.raises(TransientError, match="Could not set up host forwarding rule"):
            await qemu.launch(machine, deadline_s=10)
    assert not qemu.find("test-0")


async def test_a_missing_disk_is_named_in_qemus_own_words(qemu: Qemu, tmp_path: Path) -> None:
    disk = Disk("root.qcow2", "root", DiskFormat.QCOW2, 1024**3)
    machine = dataclasses.replace(machine_of(tmp_path, "test-0"), disks=(disk,))
    with pytest.raises(HostError, match=r"root\.qcow2.*No such file"):
        await qemu.launch(machine, deadline_s=10)


async def test_a_program_that_ends_at_once_is_an_error_and_leaves_no_zombie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def look_late(pid: int) -> ProcessIdentity | None:
        seen.append(pid)
        time.sleep(0.2)
        return identify(pid)

    monkeypatch.setattr(qemu_module, "identify", look_late)
    broken = Qemu(Path("/bin/false"), get_tool("prlimit"))
    with pytest.raises(HostError, match="VM test-0: QEMU ended at once"):
        await broken.launch(machine_of(tmp_path, "test-0"), deadline_s=10)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


async def test_a_qemu_that_does_not_answer_is_killed_at_the_deadline(qemu: Qemu, tmp_path: Path) -> None:
    machine = machine_of(tmp_path, "test-0")
    with pytest.raises(DeadlineError, match="does not answer"):
        await qemu.launch(machine, deadline_s=0.0)
    assert not qemu.find("test-0")


async def test_a_cancelled_launch_leaves_no_process(qemu: Qemu, tmp_path: Path) -> None:
    with anyio.move_on_after(0.01) as scope:
        await qemu.launch(machine_of(tmp_path, "test-0"), deadline_s=10)
    assert scope.cancelled_caught
    assert not qemu.find("test-0")


async def test_two_machines_cannot_write_one_disk(qemu: Qemu, tmp_path: Path) -> None:
    disk = Disk("work.raw", "work", DiskFormat.RAW, 1024**2)
    create_empty(tmp_path / "work.raw", disk.size_bytes)
    first = dataclasses.replace(machine_of(tmp_path, "test-0"), disks=(disk,))
    second = dataclasses.replace(machine_of(tmp_path / "second", "test-1"), disks=(disk,))
    (tmp_path / "second/work.raw").hardlink_to(tmp_path / "work.raw")
    await qemu.launch(first, deadline_s=10)
    with pytest.raises(HostError, match="lock"):
        await qemu.launch(second, deadline_s=10)


async def test_a_guest_that_floods_its_console_cannot_pass_its_room(
    qemu: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 256 * 1024
    monkeypatch.setattr(qemu_module, "CONSOLE_ROOM_BYTES", room)
    machine = machine_of(tmp_path, "test-0", FLOOD_SERIAL)
    identity = await qemu.launch(machine, deadline_s=10)
    log = console_log(machine)
    await _until_full(log)
    await anyio.sleep(0.3)
    assert log.size() == room, "the kernel holds the bound with nobody watching"
    assert await qemu.guest_state(tmp_path) is GuestState.RUNNING
    assert log.path.stat().st_blocks * 512 <= room + 64 * 1024, "the hole takes no space"
    assert trim_logs(identity, tmp_path) > room // 2
    assert log.size() < room // 2
    await _until_full(log)
    assert tail(log.path, 100) == b"x" * 100
    assert (await kill(identity)).by is StoppedBy.KILL
    assert trim_logs(identity, tmp_path) == 0


async def _until_full(log: BoundedLog) -> None:
    with anyio.fail_after(20):
        while log.size() < log.room_bytes:  # noqa: ASYNC110 - another process fills it
            await anyio.sleep(0.02)


async def test_the_facts_name_the_binary_by_its_content(qemu: Qemu) -> None:
    facts = await qemu.facts()
    assert facts.version.startswith("QEMU emulator version ")
    counted = await run(["sha256sum", facts.binary], deadline_s=30)
    assert facts.binary_sha256 == counted.stdout.split()[0].decode()
    assert Accelerator.TCG in facts.accelerators


def test_a_process_is_found_by_its_whole_name_only() -> None:
    words = ["-c", "import time; time.sleep(60)", "-name", "guest=banger-test-2"]
    with (
        subprocess.Popen(["/opt/qemu-system-x86_64", *words], executable=sys.executable) as same,
        subprocess.Popen(["/usr/bin/find", *words], executable=sys.executable) as elsewhere,
    ):
        try:
            deadline = time.monotonic() + 5
            while not find_processes("guest=banger-test-2"):
                assert time.monotonic() < deadline
            assert find_processes("guest=banger-test-2") == [identify(same.pid)]
            assert not find_processes("guest=banger-test")
            assert not find_processes("banger-test-2")
        finally:
            same.kill()
            elsewhere.kill()
