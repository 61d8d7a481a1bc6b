"""The measured rate of the time stamp counter agrees with another way to measure it."""

import mmap
import platform
import subprocess
from pathlib import Path

import pytest

from banger.vm import tsc

CPUINFO = "processor\t: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc\n"


C_SOURCE = r"""
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_BOOTTIME, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(void)
{
    double began = now();
    unsigned long long first = __rdtsc();
    while (now() - began < 0.3)
        ;
    printf("%f", (__rdtsc() - first) / (now() - began) / 1000);
}
"""


def khz_of_a_compiled_loop(folder: Path) -> float:
    """Measure by the compiler's own instruction, over fifteen times as long, beside another clock."""
    program = folder / "rate"
    subprocess.run(["gcc", "-O2", "-xc", "-", "-o", program], input=C_SOURCE, text=True, check=True)
    return float(subprocess.run([program], capture_output=True, check=True).stdout)


def test_the_measured_rate_is_within_one_percent_of_another_measure(tmp_path: Path) -> None:
    tsc.host_tsc_khz.cache_clear()
    measured = tsc.host_tsc_khz()
    assert measured == pytest.approx(khz_of_a_compiled_loop(tmp_path), rel=0.01)


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
