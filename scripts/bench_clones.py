"""Clones of one template at once: how long each takes to come up, and what memory they take: `scripts/bench_clones.py`.

Each clone is a `banger vm create` of its own. Memory is the proportional share (Pss) of the clones' QEMU processes,
which counts a page that all of them map once, and by what it is: the guest's memory (its own pages, and those of the
template's file), the translator's buffer, QEMU's heap, and the rest. Fails if eight clones take more than 2.5 times
what one alone takes.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench_boot import BANGER

MEMORY_RATIO_LIMIT = 2.5
_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+\s*(.*)")
_TRANSLATOR_BYTES = 4 << 20


def banger(*words: str) -> str:
    """Run banger to its end."""
    return subprocess.run([BANGER, *words], check=True, capture_output=True, text=True).stdout


def create(name: str, shape: list[str]) -> float:
    """Make a VM and return the seconds that it took."""
    begun = time.perf_counter()
    banger("vm", "create", "--name", name, "-q", *shape)
    return time.perf_counter() - begun


def memory(names: list[str]) -> Counter[str]:
    """KiB by what they are, of all these VMs together."""
    found: Counter[str] = Counter()
    for name in names:
        pid = json.loads(banger("vm", "show", name, "--json"))["pid"]
        what = ""
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            head = _HEAD.match(line)
            if head:
                what = kind(int(head[2], 16) - int(head[1], 16), head[3], head[4])
            elif line.startswith("Pss:"):
                found[what] += int(line.split()[1])
            elif line.startswith("Private_Dirty:") and what == "template":
                own = int(line.split()[1])
                found["template"] -= own
                found["guest's own"] += own
    return found


def kind(size: int, mode: str, path: str) -> str:
    """What a mapping is."""
    if "/cas/" in path:
        return "template"
    if "x" in mode and "w" in mode and size >= _TRANSLATOR_BYTES:
        return "translator"
    if path == "[heap]" or (not path and size < (64 << 20)):
        return "heap"
    return "anonymous, large" if not path else "programs and libraries"


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="512")
    parser.add_argument("--settle", type=float, default=10.0, metavar="SECONDS")
    given = parser.parse_args()
    shape = ["--vcpu", "1", "--memory", given.memory, "--disk-size", "1G"]
    banger("template", "build", *shape[:4], "-q")
    alone, together, one, many = [], [], [], []
    for _ in range(given.rounds):
        names = [f"bench-{number}" for number in range(given.count)]
        try:
            alone.append(create(names[0], shape))
            time.sleep(given.settle)
            one.append(memory(names[:1]))
            banger("vm", "delete", "-q", names[0])
            with ThreadPoolExecutor(given.count) as pool:
                together += pool.map(lambda name: create(name, shape), names)
            time.sleep(given.settle)
            many.append(memory(names))
        finally:
            left = [vm["name"] for vm in json.loads(banger("vm", "list", "--json")) if vm["name"].startswith("bench-")]
            if left:
                banger("vm", "delete", "-q", *left)
    cores = len(os.sched_getaffinity(0))
    together.sort()
    late = together[math.ceil(len(together) * 0.95) - 1]
    single = statistics.median(alone)
    share = late / (given.count / cores)
    print(
        f"one alone {single:.2f} s; {given.count} at once, p95 {late:.2f} s: {share / single:.2f} x per core of {cores}"
    )
    print(f"{'MiB':<24}{'one':>8}{given.count:>8}")
    for what in sorted({what for counter in many for what in counter}):
        row = [statistics.median(counter[what] for counter in each) / 1024 for each in (one, many)]
        print(f"{what:<24}{row[0]:>8.1f}{row[1]:>8.1f}")
    whole = [statistics.median(sum(counter.values()) for counter in each) / 1024 for each in (one, many)]
    ratio = whole[1] / whole[0]
    print(f"{'all':<24}{whole[0]:>8.1f}{whole[1]:>8.1f}   ratio {ratio:.2f} (limit {MEMORY_RATIO_LIMIT})")
    return int(ratio > MEMORY_RATIO_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
