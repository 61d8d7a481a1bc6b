"""The sizes that a VM can have. The command line and the daemon both check them, here."""

from collections.abc import Callable

from banger.model.errors import SpecError
from banger.model.vm import GIB, MIB, Sizes, format_size

VCPUS = (1, 32)
MEMORY_MIB = (128, 1024 * 1024)
DISK_BYTES = (256 * MIB, 16 * 1024 * GIB)


def check_sizes(sizes: Sizes) -> Sizes:
    """Return the sizes if a VM can have them. Raises SpecError that names the size, its value and its range."""
    _check("vcpu", sizes.vcpus, VCPUS, str)
    _check("memory", sizes.memory_mib * MIB, (MEMORY_MIB[0] * MIB, MEMORY_MIB[1] * MIB), format_size)
    _check("disk size", sizes.disk_bytes, DISK_BYTES, format_size)
    return sizes


def _check(name: str, value: int, bounds: tuple[int, int], write: Callable[[int], str]) -> None:
    if not bounds[0] <= value <= bounds[1]:
        raise SpecError(f"{name} {write(value)} is out of range: {write(bounds[0])} to {write(bounds[1])}")
