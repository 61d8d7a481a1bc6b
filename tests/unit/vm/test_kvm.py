"""KVM counts as usable only if a guest says so; the guest is proven by running it under emulation."""

import subprocess
from pathlib import Path

import pytest

from banger.vm import Accelerator, kvm
from banger.vm.kvm import cannot_open, probe_kvm, trial
from banger.vm.probe_image import PROBE_CODE, RESET_VECTOR, probe_rom

pytestmark = pytest.mark.anyio
QEMU = Path("/usr/bin/qemu-system-x86_64")
IS_TRAP = Path("/sys/module/kvm_pvm").exists()
NO_MODULES = Path("/nonexistent")


async def test_the_trial_guest_runs_to_its_end_under_emulation() -> None:
    probe = await trial(QEMU, Accelerator.TCG)
    assert probe.usable, probe.reason


async def test_a_guest_whose_exchange_fails_is_not_taken_for_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    # jnz failed -> jz failed: as if CMPXCHG16B had found something else than what is there.
    broken = PROBE_CODE.replace(bytes.fromhex("480fc70f7501"), bytes.fromhex("480fc70f7401"))
    assert broken != PROBE_CODE
    monkeypatch.setattr(kvm, "probe_rom", lambda: probe_rom(broken))
    probe = await trial(QEMU, Accelerator.TCG)
    assert not probe.usable
    assert "exit status 3" in probe.reason


@pytest.mark.parametrize("code", [b"\xf4", b"\x0f\x0b"])
async def test_a_guest_that_halts_or_faults_is_a_no_within_the_deadline(
    code: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm, "probe_rom", lambda: probe_rom(code))
    assert not (await trial(QEMU, Accelerator.TCG, deadline_s=1)).usable


async def test_the_probe_of_this_host_agrees_with_the_module_that_says_it_is_a_trap() -> None:
    probe = await probe_kvm(QEMU)
    if IS_TRAP and cannot_open(Path("/dev/kvm")) is None:
        assert not probe.usable
        assert "kvm_pvm" in probe.reason


async def test_the_trial_alone_finds_the_trap_too() -> None:
    probe = await probe_kvm(QEMU, modules=NO_MODULES)
    if IS_TRAP:
        assert not probe.usable
        assert "trial guest under kvm" in probe.reason or "/dev/kvm" in probe.reason


async def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    probe = await probe_kvm(QEMU, device=tmp_path / "kvm")
    assert not probe.usable
    assert str(tmp_path / "kvm") in probe.reason


async def test_a_qemu_that_is_not_there_is_a_no_and_not_an_error(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    probe = await probe_kvm(tmp_path / "qemu", device=device, modules=NO_MODULES)
    assert not probe.usable
    assert "not found" in probe.reason


def test_the_bytes_are_the_assembled_source(tmp_path: Path) -> None:
    source = Path(kvm.__file__).with_name("probe.S")
    subprocess.run(["as", "--64", source, "-o", tmp_path / "o"], check=True)
    subprocess.run(["ld", "-Ttext", "0", "--oformat", "binary", tmp_path / "o", "-o", tmp_path / "bin"], check=True)
    assert (tmp_path / "bin").read_bytes() == PROBE_CODE


def test_code_that_would_cover_the_reset_vector_is_refused() -> None:
    assert len(probe_rom(b"\x90" * RESET_VECTOR)) == 64 * 1024
    with pytest.raises(ValueError, match="reset vector"):
        probe_rom(b"\x90" * (RESET_VECTOR + 1))
