"""Default sizes of a VM on this host. The command line is the only place that resolves them; the daemon is told.

vcpu      max(2, min(4, CPUs // 4)), never more than the CPUs there are
memory    RAM / 8, at most 8 GiB, at least 1 GiB, whole 256 MiB; halved while less than twice of it is available
disk size 8G
"""

import os
import re
from pathlib import Path

from banger.model.errors import SpecError
from banger.model.limits import check_sizes
from banger.model.vm import GIB, MIB, Sizes, format_size, parse_size

FLOOR_VCPUS = 2
MOST_VCPUS = 4
FLOOR_MEMORY_MIB = 1024
MOST_MEMORY_MIB = 8192
LEAST_MEMORY_MIB = 256
MEMORY_STEP_MIB = 256
DISK_BYTES = 8 * GIB


def defaults_for(cpus: int, memory_mib: int, available_mib: int) -> Sizes:
    """Work out the defaults for a host.

    Memory is part of what a frozen VM is keyed by, so it moves in halves, and not with every megabyte that happens to
    be free.
    """
    vcpus = min(max(FLOOR_VCPUS, min(MOST_VCPUS, cpus // 4)), cpus)
    memory = min(MOST_MEMORY_MIB, memory_mib // 8) // MEMORY_STEP_MIB * MEMORY_STEP_MIB
    memory = max(FLOOR_MEMORY_MIB, memory)
    while memory * 2 > available_mib and memory // 2 >= LEAST_MEMORY_MIB:
        memory //= 2
    return Sizes(max(1, vcpus), memory, DISK_BYTES)


def host_defaults() -> Sizes:
    """Defaults for this host, of the CPUs that this process may use and the memory that is there."""
    total_mib, available_mib = memory_mib()
    return defaults_for(cpu_count(), total_mib, available_mib)


def cpu_count() -> int:
    """CPUs that this process may use (sched_getaffinity(2))."""
    return len(os.sched_getaffinity(0))


def memory_mib() -> tuple[int, int]:
    """RAM and available RAM in MiB (proc(5), /proc/meminfo: MemTotal and MemAvailable)."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(fields[name].split()[0]) // 1024 for name in ("MemTotal", "MemAvailable"))
    return total, available


def resolve(vcpus: int | None, memory: str | None, disk_size: str | None) -> Sizes:
    """Fill what was not given with this host's defaults. Raises SpecError for what cannot be."""
    defaults = host_defaults()
    sizes = check_sizes(
        Sizes(
            defaults.vcpus if vcpus is None else vcpus,
            defaults.memory_mib if memory is None else parse_memory(memory),
            defaults.disk_bytes if disk_size is None else parse_size(disk_size),
        )
    )
    total_mib, _available = memory_mib()
    if sizes.memory_mib > total_mib:
        raise SpecError(f"memory {format_size(sizes.memory_mib * MIB)} is more than this host has: {total_mib}M")
    return sizes


def parse_memory(text: str) -> int:
    """Read an amount of memory as MiB. Raises SpecError."""
    # A bare number has always been MiB for every VMM there is.
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else parse_size(text) // MIB
