"""The command line of QEMU, and the kernel's within it, as a function of the machine and nothing else.

Two machine types. ``microvm`` has virtio-mmio devices and no PCI. Under TCG its kernel must be told the rate of the
time stamp counter, which QEMU passes through from the host: calibration against an emulated timer can hang there. If
the rate is not known, ``q35`` is used, whose calibration works and whose boot is 0.2 s longer.

Everything below the VM's directory is named relative to it (QEMU runs there), as a socket's address holds 107 bytes.

ACPI stays on, though turning it off would save 0.15 s of 1.2: Debian's kernels find virtio-mmio devices only through
it, and without it a guest's `poweroff` halts and leaves QEMU behind.
"""

from pathlib import Path

from banger.model.errors import SpecError
from banger.vm import (
    AGENT_PORT,
    AGENT_SOCKET,
    CONSOLE_LOG,
    MONITOR_SOCKET,
    NETDEV,
    Accelerator,
    Disk,
    Machine,
    TapNetwork,
    UserNetwork,
)
from banger.vm.template import MemoryFile, MemoryUse

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
COMMAND_LINE_LIMIT_BYTES = 2047
"""COMMAND_LINE_SIZE of x86 less the NUL (Linux, arch/x86/include/asm/setup.h)."""

_ALWAYS = (
    "console=ttyS0",
    "quiet",
    # A reboot or a panic ends QEMU (-no-reboot), at once and by a triple fault, which every machine type understands.
    "reboot=t",
    "panic=-1",
    # Self-tests of ciphers: 15 % of the time from exec to init under TCG, and none of ours to make.
    "cryptomgr.notests",
    "random.trust_cpu=on",
    "8250.nr_uarts=1",
)
_EMULATED = (
    # Translated code is not the branches that the guest's mitigations arrange: they cost and protect nothing here.
    "mitigations=off",
    "no_timer_check",
)
_MIB = 1024 * 1024
_GIB = 1024 * _MIB


def process_name(vm_id: str) -> str:
    """Return the word by which the process of a machine is recognised in the list of processes."""
    return f"guest=banger-{vm_id}"


def file_size_limit(machine: Machine) -> int:
    """Return the largest file in bytes that QEMU may write: largest disk, an eighth, memory and 1 GiB, in pages.

    An eighth, since a qcow2 file is its disk and tables of far less; the memory, since a frozen machine's is a file.
    """
    largest = max((disk.size_bytes for disk in machine.disks), default=0)
    return -(-(largest + largest // 8 + machine.memory_mib * _MIB + _GIB) // 4096) * 4096


def kernel_command_line(machine: Machine) -> str:
    """Return the kernel's command line. Raises SpecError if it is too long for Linux, which would cut it silently."""
    words: list[str] = [*_ALWAYS]
    if machine.accelerator is Accelerator.TCG:
        words += _EMULATED
        if machine.tsc_khz is not None:
            words += [f"tsc_early_khz={machine.tsc_khz}", "tsc=reliable"]
    line = " ".join([*words, *machine.parameters])
    if len(line) > COMMAND_LINE_LIMIT_BYTES:
        raise SpecError(f"VM {machine.vm_id}: kernel command line of {len(line)} bytes: {COMMAND_LINE_LIMIT_BYTES} fit")
    return line


def qemu_argv(machine: Machine, binary: Path, memory: MemoryFile | None = None) -> tuple[str, ...]:
    """Return QEMU's argv for a machine; to be run in the machine's directory. `memory`: it is frozen, or will be."""
    with_pci = machine.accelerator is Accelerator.TCG and machine.tsc_khz is None
    bus = "pci" if with_pci else "device"
    kind = "q35" if with_pci else "microvm"
    if memory is not None:
        kind += ",memory-backend=memory"
    argv = [str(binary), "-name", process_name(machine.vm_id), *_board(machine, kind)]
    if memory is not None:
        argv += _memory(machine, memory)
    if memory is None or memory.use is MemoryUse.FREEZE:
        argv += _kernel(machine)
    for disk in machine.disks:
        argv += _disk(disk, bus)
    if machine.network is not None:
        argv += _network(machine.network, bus)
    argv += ["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", f"virtio-rng-{bus},rng=rng"]
    argv += ["-chardev", f"socket,id=agent,path={AGENT_SOCKET},server=on,wait=off"]
    argv += ["-device", f"virtio-serial-{bus}", "-device", f"virtserialport,chardev=agent,name={AGENT_PORT}"]
    argv += ["-chardev", f"file,id=console,path={CONSOLE_LOG},append=on", "-serial", "chardev:console"]
    argv += ["-chardev", f"socket,id=monitor,path={MONITOR_SOCKET},server=on,wait=off"]
    argv += ["-mon", "chardev=monitor,mode=control"]
    return tuple(argv)


def _kernel(machine: Machine) -> list[str]:
    initramfs = [] if machine.initramfs is None else ["-initrd", str(machine.initramfs)]
    return ["-kernel", str(machine.kernel), *initramfs, "-append", kernel_command_line(machine)]


def _memory(machine: Machine, memory: MemoryFile) -> list[str]:
    # A restored machine has booted, and a reset ends it: without a kernel each clone's QEMU takes 14 MB less.
    is_restored = memory.use is MemoryUse.RESTORE
    path = str(memory.path).replace(",", ",,")
    backend = f"memory-backend-file,id=memory,size={machine.memory_mib}M,mem-path={path}"
    return [
        *("-object", f"{backend},share={'off' if is_restored else 'on'}"),
        *(("-incoming", "defer") if is_restored else ()),
    ]


def _board(machine: Machine, kind: str) -> list[str]:
    # `max` is all that TCG can do: a guest's programs find the vector units that they were built for.
    cpu = "host" if machine.accelerator is Accelerator.KVM else "max"
    return [
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-msg", "timestamp=on"),
        *("-sandbox", SANDBOX),
        *("-machine", kind, "-accel", machine.accelerator.value, "-cpu", cpu),
        *("-smp", str(machine.vcpus), "-m", f"{machine.memory_mib}M"),
    ]


def _disk(disk: Disk, bus: str) -> list[str]:
    # The file is locked by its opener, so that a second QEMU cannot start on the same disk.
    return [
        *("-blockdev", f"driver=file,node-name={disk.serial}-file,filename={disk.file},locking=on,discard=unmap"),
        *("-blockdev", f"driver={disk.format.value},node-name={disk.serial},file={disk.serial}-file,discard=unmap"),
        *("-device", f"virtio-blk-{bus},drive={disk.serial},serial={disk.serial}"),
    ]


def _network(network: UserNetwork | TapNetwork, bus: str) -> list[str]:
    # A card on PCI carries a boot ROM that is of no use here.
    rom = ",romfile=" if bus == "pci" else ""
    if isinstance(network, TapNetwork):
        # No scripts: whoever made the TAP has done all there is to do. No header: a frozen machine's card had none.
        backend = f"tap,id={NETDEV},ifname={network.tap},script=no,downscript=no,vnet_hdr=off"
    else:
        restrict = "restrict=on," if network.restricted else ""
        backend = f"user,id={NETDEV},{restrict}hostfwd=tcp:127.0.0.1:{network.ssh_port}-:22"
    return [
        *("-netdev", backend),
        *("-device", f"virtio-net-{bus},netdev={NETDEV},mac={network.mac}{rom}"),
    ]
