"""What a process uses of this machine, and what a file takes: proc(5), stat(2)."""

import os
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
_SECTOR_BYTES = 512
_UTIME, _STIME, _START = 11, 12, 19
"""Fields 14, 15 and 22 of /proc/<pid>/stat, counted from the one behind the name."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time and age in seconds, memory in bytes. `pss_bytes` None: the kernel does not tell."""

    cpu_s: float
    uptime_s: float
    rss_bytes: int
    pss_bytes: int | None


def cpu_seconds(pid: int) -> float | None:
    """Processor time that a process has used; None if it is gone."""
    fields = _stat(pid)
    return None if fields is None else _cpu(fields)


def process_usage(pid: int) -> Usage | None:
    """What a process uses now; None if it is gone."""
    fields = _stat(pid)
    if fields is None:
        return None
    started_s = int(fields[_START]) / os.sysconf("SC_CLK_TCK")
    uptime_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    rss, pss = _memory(pid)
    return Usage(_cpu(fields), max(0.0, uptime_s - started_s), rss or 0, pss)


def disk_bytes(path: Path) -> int:
    """What a file takes on its disk, holes not counted; 0 if it is not there."""
    try:
        return path.stat().st_blocks * _SECTOR_BYTES
    except OSError:
        return 0


def _stat(pid: int) -> list[str] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name (field 2) may hold spaces and brackets of its own: fields are counted from the last bracket.
    return stat[stat.rindex(b")") + 1 :].decode("ascii").split()


def _cpu(fields: list[str]) -> float:
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> tuple[int | None, int | None]:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return _resident(pid), None
    values = dict(line.split(":", 1) for line in text.splitlines()[1:] if ":" in line)
    rss, pss = (int(values[name].split()[0]) * _KIB if name in values else None for name in ("Rss", "Pss"))
    return rss, pss


def _resident(pid: int) -> int | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
