"""Default sizes of a VM. The command line is the only place that resolves them; the daemon is told.

What is configured comes first; where nothing is, it follows from this host:

vcpu      max(2, min(4, CPUs // 4)), never more than the CPUs there are
memory    RAM / 8, at most 8 GiB, at least 1 GiB, whole 256 MiB; halved while less than twice of it is available
disk size 8G
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from banger.cli.configured import configured, configured_for_help
from banger.model.config import Config
from banger.model.errors import SpecError
from banger.model.limits import check_sizes
from banger.model.vm import DEFAULT_IMAGE, GIB, MIB, Sizes, format_size, parse_size

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


@dataclass(frozen=True, slots=True)
class Default:
    """One default and where it comes from: `config` (and where there), `auto` (this host) or `builtin`."""

    name: str
    value: str
    source: str
    where: str = ""


def vm_defaults(config: Config) -> list[Default]:
    """Every default of a VM with where it comes from. `config` with places, if they are to be told."""
    total_mib, _available = memory_mib()
    host = host_defaults()
    cpus_say = cpu_count() // 4 >= FLOOR_VCPUS
    memory_says = host.memory_mib != FLOOR_MEMORY_MIB or total_mib // 8 >= FLOOR_MEMORY_MIB
    shapes = (
        ("image", config.image, DEFAULT_IMAGE, "builtin"),
        ("vcpu", config.vcpu, str(host.vcpus), "auto" if cpus_say or host.vcpus < FLOOR_VCPUS else "builtin"),
        (
            "memory",
            _as_size(config.memory_mib, MIB),
            format_size(host.memory_mib * MIB),
            "auto" if memory_says else "builtin",
        ),
        ("disk_size", _as_size(config.disk_bytes, 1), format_size(host.disk_bytes), "builtin"),
    )
    found = []
    for name, given, otherwise, source in shapes:
        origin = config.origins.get(f"vm_defaults.{name}")
        if given is None or origin is None:
            found.append(Default(name, otherwise, source))
        else:
            found.append(Default(name, str(given), "config", origin.where))
    return found


def _as_size(amount: int | None, unit: int) -> str | None:
    return None if amount is None else format_size(amount * unit)


def default_sizes(*, for_help: bool = False) -> Sizes:
    """What a VM gets where the command line says nothing. Raises SpecError for a configuration that is wrong."""
    config = configured_for_help() if for_help else configured()
    host = host_defaults()
    return Sizes(
        host.vcpus if config.vcpu is None else config.vcpu,
        host.memory_mib if config.memory_mib is None else config.memory_mib,
        host.disk_bytes if config.disk_bytes is None else config.disk_bytes,
    )


def default_image(*, for_help: bool = False) -> str:
    """The image where the command line names none. Raises SpecError for a configuration that is wrong."""
    config = configured_for_help() if for_help else configured()
    return DEFAULT_IMAGE if config.image is None else config.image


def cpu_count() -> int:
    """CPUs that this process may use (sched_getaffinity(2))."""
    return len(os.sched_getaffinity(0))


def memory_mib() -> tuple[int, int]:
    """RAM and available RAM in MiB (proc(5), /proc/meminfo: MemTotal and MemAvailable)."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(fields[name].split()[0]) // 1024 for name in ("MemTotal", "MemAvailable"))
    return total, available


def resolve(vcpus: int | None, memory: str | None, disk_size: str | None) -> Sizes:
    """Fill what was not given with the defaults. Raises SpecError for what cannot be."""
    defaults = default_sizes()
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
