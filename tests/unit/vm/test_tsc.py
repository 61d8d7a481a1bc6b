"""The measured rate of the time stamp counter agrees with what the kernel found by other means."""

import ctypes
import mmap
import os
import platform
import struct
from pathlib import Path

import pytest

from banger.vm import tsc

CPUINFO = "processor\t: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc\n"


def kernels_own_khz() -> float:
    """The kernel's calibration at boot, from the page that perf_event_open(2) maps: time_shift and time_mult."""
    attributes = bytearray(struct.pack("<IIQ", 1, 112, 1).ljust(112, b"\0"))  # PERF_TYPE_SOFTWARE, size, task clock
    attributes[40] = 1 << 5  # exclude_kernel: what any user may count
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(298, bytes(attributes), 0, -1, -1, 0)
    assert descriptor >= 0, ctypes.get_errno()
    with mmap.mmap(descriptor, mmap.PAGESIZE, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED) as page:
        shift, mult = struct.unpack_from("<HI", page, 50)
    os.close(descriptor)
    assert mult, "no cap_user_time"
    return float(1_000_000 * (1 << shift) / mult)


def test_the_measured_rate_is_within_one_percent_of_the_kernels() -> None:
    tsc.host_tsc_khz.cache_clear()
    measured = tsc.host_tsc_khz()
    assert measured == pytest.approx(kernels_own_khz(), rel=0.01)


def test_a_counter_that_stops_or_changes_its_rate_is_not_measured() -> None:
    assert tsc.is_steady(CPUINFO)
    assert not tsc.is_steady(CPUINFO.replace("nonstop_tsc", ""))
    assert not tsc.is_steady(CPUINFO.replace("constant_tsc", ""))
    assert not tsc.is_steady("")


def test_a_kernel_that_refuses_executable_memory_leaves_the_rate_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(mmap, "mmap", refuse)
    tsc.host_tsc_khz.cache_clear()
    assert tsc.host_tsc_khz() is None
    tsc.host_tsc_khz.cache_clear()


def test_another_processor_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    tsc.host_tsc_khz.cache_clear()
    assert tsc.host_tsc_khz() is None
    tsc.host_tsc_khz.cache_clear()


def test_the_processor_promises_what_is_relied_on_here() -> None:
    assert tsc.is_steady(Path("/proc/cpuinfo").read_text(encoding="ascii"))
