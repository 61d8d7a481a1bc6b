"""How much memory the host has, from /proc/meminfo (proc(5))."""

from functools import cache
from pathlib import Path


@cache
def total_memory_mib(meminfo: Path = Path("/proc/meminfo")) -> int:
    """MemTotal in MiB: memory without what the kernel keeps for itself. Raises LookupError if it is not told."""
    for line in meminfo.read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return int(rest.split()[0]) // 1024
    raise LookupError(f"{meminfo} has no MemTotal")
