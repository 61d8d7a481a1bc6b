"""Measure the rate of this host's time stamp counter, which QEMU's translator shows to its guests as theirs.

The kernel's own figure is only in its log, which a user may not read; the processor's leaf 0x15 is absent on AMD and
within most clouds. So the counter is read beside the raw monotonic clock, twice, some milliseconds apart. That clock is
the same counter scaled by the kernel, hence the two agree far better than the 1 % that a guest needs.
"""

import ctypes
import functools
import mmap
import platform
import time
from collections.abc import Callable
from pathlib import Path

_SAMPLE_S = 0.02
_TRIES = 12
_RDTSC = bytes.fromhex(
    "0faee8"  # lfence: not before earlier instructions are done
    "0f31"  # rdtsc: EDX:EAX
    "48c1e220"  # shl rdx, 32
    "4809d0"  # or rax, rdx
    "c3"  # ret
)
_STEADY_FLAGS = {"constant_tsc", "nonstop_tsc"}
_PLAUSIBLE_KHZ = range(100_000, 20_000_000)
_STEP_KHZ = 100
"""Rounded to this: 20 to 50 millionths of a real rate, as good as a quartz, and the same answer at the next boot."""


@functools.lru_cache(maxsize=1)
def host_tsc_khz() -> int | None:
    """Return the rate of the time stamp counter in kHz; None if it is not steady or cannot be read.

    Takes about 20 ms the first time in a process.
    """
    if platform.machine() != "x86_64" or not is_steady(Path("/proc/cpuinfo").read_text(encoding="ascii")):
        return None
    try:
        # A hardened kernel may refuse memory that is both written and run.
        with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
            page.write(_RDTSC)
            anchor = ctypes.c_char.from_buffer(page)
            try:
                khz = _measure(ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(anchor)))
            finally:
                # The map cannot be closed while a view of it is held.
                del anchor
    except (PermissionError, OSError):
        return None
    return round(khz / _STEP_KHZ) * _STEP_KHZ if khz in _PLAUSIBLE_KHZ else None


def is_steady(cpuinfo: str) -> bool:
    """Say whether /proc/cpuinfo promises a counter of one rate that never stops."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return set(value.split()) >= _STEADY_FLAGS
    return False


def _measure(read_counter: Callable[[], int]) -> int:
    first_ns, first = _reading(read_counter)
    time.sleep(_SAMPLE_S)
    last_ns, last = _reading(read_counter)
    return round((last - first) * 1_000_000 / (last_ns - first_ns))


def _reading(read_counter: Callable[[], int]) -> tuple[int, int]:
    """Return the clock in ns and the counter at one instant: the try that was interrupted least."""
    tries = []
    for _ in range(_TRIES):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        counter = read_counter()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        tries.append((after - before, (before + after) // 2, counter))
    _, at_ns, counter = min(tries)
    return at_ns, counter
