"""`banger vm run --rm -- true` from a template, against the same guest booted by hand: `scripts/bench_start.py`.

The rival is that of `bench_boot.py`: bare QEMU on disks that lie ready, and `ssh true`. Both in turn, medians of whole
processes. Below them, where banger's time went, from its own records: until the agent answered (from the VMM's start),
what the guest and its VMM were waited for, what banger itself took while it made and deleted the VM, and the rest: the
command line and `true`. Fails if banger takes more than a sixth of the rival, or the agent more than 0.45 s.
"""

import argparse
import contextlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_boot import BANGER, Rival

from banger.model.paths import state_paths

RATIO_LIMIT = 1 / 6
AGENT_LIMIT_S = 0.45
OWN_LIMIT_S = 0.45
ROUNDS = 7
WAITED_FOR = ("vm.restore", "guest.agent", "guest.entropy", "guest.clock", "guest.identity")


def run_banger() -> dict[str, float]:
    """Make a VM, run `true` in it, delete it; return seconds by what they went to."""
    begun = time.perf_counter()
    subprocess.run([BANGER, "vm", "run", "--rm", "--", "true"], check=True, capture_output=True)
    total = time.perf_counter() - begun
    create, nodes = newest("vm.create")
    delete, released = newest("vm.delete")
    if "vm.restore" not in nodes:
        raise SystemExit("that VM was booted, not restored: is there a template? `banger template ls`")
    guest = sum(nodes[name] for name in WAITED_FOR) + released.get("release:vm.restore", 0.0)
    return {
        "banger vm run --rm -- true": total,
        "  VMM's start to agent": nodes["vm.restore"] + nodes["guest.agent"],
        "  VMM and guest": guest,
        "  banger's own": create + delete - guest,
        "  command line and `true`": total - create - delete,
    }


def newest(what: str) -> tuple[float, dict[str, float]]:
    """Return the seconds of the newest run of a sort, and of each of its nodes."""
    database = state_paths(os.environ).root / "banger.db"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "SELECT id, seconds FROM runs WHERE what = ? ORDER BY started_at DESC LIMIT 1"
        run, seconds = connection.execute(query, (what,)).fetchone()
        rows = connection.execute("SELECT node, finished_s - started_s FROM node_runs WHERE run_id = ?", (run,))
        return seconds, dict(rows.fetchall())


def main() -> int:
    """Measure in turn, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    subprocess.run([BANGER, "template", "build", "--quiet"], check=True, capture_output=True)
    run_banger()
    theirs: list[float] = []
    ours: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="banger-bench-") as name:
        rival = Rival(Path(name))
        for _ in range(rounds):
            place = rival.lay_out()
            theirs.append(rival.boot(place))
            ours.append(run_banger())
    times = {"bare QEMU, ssh true": theirs, **{label: [one[label] for one in ours] for label in ours[0]}}
    for label, seconds in times.items():
        print(f"{label:<28}{statistics.median(seconds):6.2f} s   ({min(seconds):.2f} to {max(seconds):.2f})")
    whole, agent, _, own, _ = (statistics.median(times[label]) for label in ours[0])
    ratio = statistics.median(
        one["banger vm run --rm -- true"] / other for one, other in zip(ours, theirs, strict=True)
    )
    print(f"ratio: {ratio:.2f} (limit {RATIO_LIMIT:.2f}); {whole:.2f} s in all")
    return int(ratio > RATIO_LIMIT or agent > AGENT_LIMIT_S or own > OWN_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
