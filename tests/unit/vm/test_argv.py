"""QEMU's command line is a function of the machine, and nothing in a machine can add a word or an option to it."""

import dataclasses
from pathlib import Path

import pytest

from banger.model.errors import SpecError
from banger.vm import USER_NETWORK, Accelerator, Disk, DiskFormat, Machine, TapNetwork, UserNetwork
from banger.vm.argv import COMMAND_LINE_LIMIT_BYTES, file_size_limit, kernel_command_line, qemu_argv

QEMU = Path("/usr/bin/qemu-system-x86_64")
GIB = 1024**3
MACHINE = Machine(
    vm_id="f3a9",
    vm_dir=Path("/var/lib/banger/vms/f3a9"),
    vcpus=2,
    memory_mib=1024,
    accelerator=Accelerator.TCG,
    kernel=Path("/k/vmlinuz"),
    initramfs=Path("/k/initramfs"),
    parameters=("banger.root=root", "banger.work=work", f"banger.net={USER_NETWORK}"),
    disks=(
        Disk("root.qcow2", "root", DiskFormat.QCOW2, 4 * GIB),
        Disk("work.raw", "work", DiskFormat.RAW, 8 * GIB),
    ),
    network=UserNetwork(40022, "52:54:00:12:34:56"),
    tsc_khz=2_596_120,
)
KERNEL_WORDS = (
    "console=ttyS0 quiet reboot=t panic=-1 cryptomgr.notests random.trust_cpu=on 8250.nr_uarts=1"
    " mitigations=off no_timer_check tsc_early_khz=2596120 tsc=reliable"
    " banger.root=root banger.work=work banger.net=10.0.2.15/24,10.0.2.2,10.0.2.3"
)
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
GOLDEN = [
    *("/usr/bin/qemu-system-x86_64", "-name", "guest=banger-f3a9"),
    *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-msg", "timestamp=on"),
    *("-sandbox", SANDBOX),
    *("-machine", "microvm", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024M"),
    *("-kernel", "/k/vmlinuz", "-initrd", "/k/initramfs", "-append", KERNEL_WORDS),
    *("-blockdev", "driver=file,node-name=root-file,filename=root.qcow2,locking=on,discard=unmap"),
    *("-blockdev", "driver=qcow2,node-name=root,file=root-file,discard=unmap"),
    *("-device", "virtio-blk-device,drive=root,serial=root"),
    *("-blockdev", "driver=file,node-name=work-file,filename=work.raw,locking=on,discard=unmap"),
    *("-blockdev", "driver=raw,node-name=work,file=work-file,discard=unmap"),
    *("-device", "virtio-blk-device,drive=work,serial=work"),
    *("-netdev", "user,id=net,hostfwd=tcp:127.0.0.1:40022-:22"),
    *("-device", "virtio-net-device,netdev=net,mac=52:54:00:12:34:56"),
    *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-device,rng=rng"),
    *("-chardev", "socket,id=agent,path=agent.sock,server=on,wait=off"),
    *("-device", "virtio-serial-device", "-device", "virtserialport,chardev=agent,name=org.banger.agent.0"),
    *("-chardev", "file,id=console,path=console.log,append=on", "-serial", "chardev:console"),
    *("-chardev", "socket,id=monitor,path=qmp.sock,server=on,wait=off", "-mon", "chardev=monitor,mode=control"),
]


@pytest.mark.requirement("AGT-001")
def test_the_command_line_of_an_emulated_microvm_is_as_recorded() -> None:
    assert list(qemu_argv(MACHINE, QEMU)) == GOLDEN


def test_a_restricted_network_differs_in_the_hosts_end_alone() -> None:
    assert isinstance(MACHINE.network, UserNetwork)
    restricted = dataclasses.replace(MACHINE, network=dataclasses.replace(MACHINE.network, restricted=True))
    changed = [(one, other) for one, other in zip(GOLDEN, qemu_argv(restricted, QEMU), strict=True) if one != other]
    assert len(changed) == 1
    assert changed[0][1] == changed[0][0].replace("user,id=net,", "user,id=net,restrict=on,")


def test_a_tap_takes_the_place_of_the_user_network_and_of_nothing_else() -> None:
    machine = dataclasses.replace(MACHINE, network=TapNetwork("bt-01234567", "52:54:00:12:34:56"))
    tap = "tap,id=net,ifname=bt-01234567,script=no,downscript=no,vnet_hdr=off"
    assert list(qemu_argv(machine, QEMU)) == [tap if word.startswith("user,id=net") else word for word in GOLDEN]


@pytest.mark.parametrize("name", ["", "a,b", "a b", "a" * 16, "../x", "BT"])
def test_a_name_that_is_no_tap_of_ours_is_refused(name: str) -> None:
    with pytest.raises(SpecError):
        TapNetwork(name, "52:54:00:12:34:56")


def test_an_unknown_tsc_rate_chooses_the_machine_type_that_can_calibrate() -> None:
    argv = qemu_argv(dataclasses.replace(MACHINE, tsc_khz=None), QEMU)
    assert argv[argv.index("-machine") + 1] == "q35"
    assert "tsc" not in argv[argv.index("-append") + 1]
    assert "virtio-net-pci,netdev=net,mac=52:54:00:12:34:56,romfile=" in argv
    assert not [word for word in argv if word.startswith("virtio-") and "-device" in word]


def test_kvm_gets_the_hosts_processor_and_no_words_for_emulation() -> None:
    argv = qemu_argv(dataclasses.replace(MACHINE, accelerator=Accelerator.KVM, tsc_khz=None), QEMU)
    assert argv[argv.index("-machine") + 1] == "microvm"
    assert argv[argv.index("-cpu") + 1] == "host"
    line = argv[argv.index("-append") + 1]
    assert "mitigations" not in line
    assert "tsc" not in line


@pytest.mark.parametrize("word", ["a b", "", 'a"b', "a\nb", "a\0b", "é", "x" * 513])
def test_a_parameter_that_is_not_one_plain_word_is_refused(word: str) -> None:
    with pytest.raises(SpecError, match="one word"):
        dataclasses.replace(MACHINE, parameters=(word,))


def test_a_line_that_the_kernel_would_cut_is_refused() -> None:
    room = COMMAND_LINE_LIMIT_BYTES - len(kernel_command_line(dataclasses.replace(MACHINE, parameters=())))
    words = ("x" * 500,) * (room // 501)
    exact = dataclasses.replace(MACHINE, parameters=(*words, "y" * (room % 501 - 1)))
    assert len(kernel_command_line(exact)) == COMMAND_LINE_LIMIT_BYTES
    with pytest.raises(SpecError, match="2048 bytes"):
        kernel_command_line(dataclasses.replace(exact, parameters=(*words, "y" * (room % 501))))


@pytest.mark.parametrize("vm_id", ["", "-a", "a,b", "A", "a" * 64, "a\n", "../x"])
def test_an_id_that_could_be_read_as_something_else_is_refused(vm_id: str) -> None:
    with pytest.raises(SpecError, match="id"):
        dataclasses.replace(MACHINE, vm_id=vm_id)


@pytest.mark.parametrize("file", ["a,b", "../a", "a/b", "", ".hidden", "a\n"])
def test_a_disk_outside_the_vms_directory_cannot_be_said(file: str) -> None:
    with pytest.raises(SpecError, match="disk's file"):
        Disk(file, "root", DiskFormat.RAW, GIB)


@pytest.mark.parametrize("serial", ["", "a" * 21, "a,b", "A"])
def test_a_serial_that_virtio_would_cut_is_refused(serial: str) -> None:
    with pytest.raises(SpecError, match="serial"):
        Disk("a.raw", serial, DiskFormat.RAW, GIB)


def test_two_disks_of_one_name_are_refused() -> None:
    with pytest.raises(SpecError, match="share a name"):
        dataclasses.replace(MACHINE, disks=(MACHINE.disks[0], MACHINE.disks[0]))


@pytest.mark.parametrize(("port", "mac"), [(0, "52:54:00:12:34:56"), (65536, "52:54:00:12:34:56"), (22, "52:54")])
def test_a_network_that_cannot_be_is_refused(port: int, mac: str) -> None:
    with pytest.raises(SpecError):
        UserNetwork(port, mac)


def test_the_limit_of_files_has_room_for_every_disk_and_a_frozen_memory() -> None:
    limit = file_size_limit(MACHINE)
    assert limit >= 8 * GIB + GIB
    assert limit % 4096 == 0
