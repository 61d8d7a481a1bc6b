"""Debian's kernel boots under emulation, every time, and ends its QEMU when it is done or dies."""

import dataclasses
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from banger.host.pidfd import open_process
from banger.vm import USER_NETWORK, Accelerator, Disk, DiskFormat, Machine, UserNetwork
from banger.vm.console import tail
from banger.vm.disks import create_empty, create_overlay
from banger.vm.qemu import Qemu
from banger.vm.stop import Rung, StoppedBy, kill, stop
from banger.vm.tsc import host_tsc_khz

pytestmark = [pytest.mark.anyio, pytest.mark.vm, pytest.mark.network]
MIB = 1024**2
BOOT_DEADLINE_S = 60
BOOTS = 5
WORDS = "the first program runs"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
async def machine(kernel: Path, initramfs: Path, tmp_path: Path) -> Machine:
    base = tmp_path / "base.img"
    create_empty(base, 64 * MIB)
    vm_dir = tmp_path / "vm"
    vm_dir.mkdir(mode=0o700)
    await create_overlay(base, vm_dir / "root.qcow2", size_bytes=128 * MIB)
    create_empty(vm_dir / "work.raw", 1024 * MIB)
    return Machine(
        vm_id="boot-test",
        vm_dir=vm_dir,
        vcpus=1,
        memory_mib=256,
        accelerator=Accelerator.TCG,
        kernel=kernel,
        initramfs=initramfs,
        parameters=("banger.root=root", "banger.work=work", f"banger.net={USER_NETWORK}"),
        disks=(
            Disk("root.qcow2", "root", DiskFormat.QCOW2, 128 * MIB),
            Disk("work.raw", "work", DiskFormat.RAW, 1024 * MIB),
        ),
        network=UserNetwork(_free_port(), "52:54:00:12:34:56"),
        tsc_khz=host_tsc_khz(),
    )


@asynccontextmanager
async def no_machine_left(qemu: Qemu) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for identity in qemu.find("boot-test"):
            await kill(identity)


async def boot(machine: Machine) -> tuple[float, str]:
    """Boot to the end of QEMU; return the seconds it took and what the console says."""
    qemu = Qemu.installed()
    async with no_machine_left(qemu):
        began = time.monotonic()
        identity = await qemu.launch(machine, deadline_s=20)
        with open_process(identity) as process:
            ended = process is None or await process.wait(BOOT_DEADLINE_S)
        took_s = time.monotonic() - began
        console = tail(machine.vm_dir / "console.log", 4096).decode(errors="replace")
        assert ended, f"still running after {BOOT_DEADLINE_S} s; its console ends:\n{console[-500:]}"
        return took_s, console


async def test_a_microvm_boots_every_time(machine: Machine, record_property: Callable[[str, object], None]) -> None:
    assert machine.tsc_khz, "this host's TSC rate cannot be measured: the microvm recipe is not in use"
    for _ in range(BOOTS):
        took_s, console = await boot(machine)
        assert WORDS in console
        record_property("boot_s", round(took_s, 2))


async def test_two_processors_boot(machine: Machine) -> None:
    _, console = await boot(dataclasses.replace(machine, vcpus=2))
    assert WORDS in console


async def test_the_fallback_for_an_unknown_tsc_rate_boots(machine: Machine) -> None:
    _, console = await boot(dataclasses.replace(machine, tsc_khz=None))
    assert WORDS in console


async def test_a_kernel_that_panics_ends_its_qemu_and_leaves_its_last_words(machine: Machine) -> None:
    _, console = await boot(dataclasses.replace(machine, initramfs=None))
    assert "Kernel panic - not syncing: VFS: Unable to mount root fs" in console


async def test_a_guest_that_does_not_listen_to_the_power_button_is_quit(machine: Machine) -> None:
    qemu = Qemu.installed()
    async with no_machine_left(qemu):
        identity = await qemu.launch(machine, deadline_s=20)
        ended = await stop(
            identity,
            [
                Rung(StoppedBy.POWER_BUTTON, lambda: qemu.press_power_button(machine.vm_dir), 0.2),
                Rung(StoppedBy.QUIT, lambda: qemu.quit(machine.vm_dir), 5),
            ],
        )
    assert ended.by is StoppedBy.QUIT
    assert ended.failures == ("power button: still running after 0.2 s",)
