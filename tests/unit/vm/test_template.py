"""A template and its clones have the same devices, and the command lines that key them say all of it."""

import dataclasses
from pathlib import Path

import pytest

from banger.vm import Accelerator, Machine, UserNetwork
from banger.vm.argv import qemu_argv
from banger.vm.qemu import Qemu
from banger.vm.qemu_template import QemuTemplates
from banger.vm.session import TEMPLATE_MAC, template_machine
from banger.vm.template import MemoryFile, MemoryUse

QEMU = Path("/usr/bin/qemu-system-x86_64")
FREEZE = MemoryFile(Path("/scratch/memory"), MemoryUse.FREEZE)
RESTORE = MemoryFile(Path("/cas/a,b"), MemoryUse.RESTORE)


def machine(**changes: object) -> Machine:
    made = template_machine(
        Path("/vms/x"), vcpus=2, memory_mib=512, accelerator=Accelerator.TCG, tsc_khz=1_000_000, kernel=Path("/k")
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # a few fields by name


def test_a_clone_is_told_what_its_template_was_but_for_its_kernel_and_its_memory() -> None:
    template, clone = list(qemu_argv(machine(), QEMU, FREEZE)), list(qemu_argv(machine(), QEMU, RESTORE))
    kernel = template.index("-kernel")
    del template[kernel : kernel + 6]
    incoming = clone.index("-incoming")
    assert clone[incoming : incoming + 2] == ["-incoming", "defer"]
    del clone[incoming : incoming + 2]
    backend = "memory-backend-file,id=memory,size=512M,mem-path="
    assert [(a, b) for a, b in zip(template, clone, strict=True) if a != b] == [
        (f"{backend}/scratch/memory,share=on", f"{backend}/cas/a,,b,share=off")
    ]


def test_a_guest_that_is_frozen_does_not_mount_its_work_disk() -> None:
    line = next(word for word in qemu_argv(machine(), QEMU, FREEZE) if "banger.root" in word)
    assert "banger.work_later=work" in line.split()
    assert not [word for word in line.split() if word.startswith("banger.work=")]


def test_the_key_has_every_word_that_qemu_is_told() -> None:
    lines = QemuTemplates(Qemu.installed()).command_lines(vcpus=2, memory_mib=512)
    assert len(set(lines)) == 6
    for word in qemu_argv(machine(), Path("/"), FREEZE):
        if "/scratch" not in word and word != "/k":
            assert any(word in line for line in lines), word


@pytest.mark.parametrize(("constant", "value"), [("_ALWAYS", ("quiet",)), ("SANDBOX", "on"), ("_EMULATED", ())])
def test_another_option_of_qemu_or_the_kernel_is_another_key(
    constant: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates = QemuTemplates(Qemu.installed())
    before = templates.command_lines(vcpus=2, memory_mib=512)
    monkeypatch.setattr(f"banger.vm.argv.{constant}", value)
    assert templates.command_lines(vcpus=2, memory_mib=512) != before


def test_nothing_of_one_vm_is_in_the_key() -> None:
    lines = QemuTemplates(Qemu.installed()).command_lines(vcpus=2, memory_mib=512)
    network = UserNetwork(4321, "02:aa:bb:cc:dd:ee")
    theirs = set(qemu_argv(machine(vm_id="f00d", network=network), QEMU, RESTORE))
    assert not {word for line in lines for word in line if "f00d" in word or "4321" in word}
    assert {word for word in theirs if "f00d" in word or "4321" in word}
    assert any(TEMPLATE_MAC in word for line in lines for word in line)
