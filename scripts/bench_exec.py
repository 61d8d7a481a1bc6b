"""`banger vm exec NAME -- true` against `ssh NAME true`, in a VM that runs: `scripts/bench_exec.py NAME`.

Both in turn, whole processes from start to exit, medians. `ssh` is told what banger tells it, and pays for a handshake
each time as anyone does who has not set up a shared connection. Fails if banger takes more than 0.2 x ssh. Then, for
information, how fast bytes pass.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from banger.cli.ssh import ssh_argv
from banger.model.vm import SshEndpoint

BANGER = str(Path(sys.executable).with_name("banger"))
LIMIT = 0.2
ROUNDS = 15
MIB = 1 << 20
BULK_BYTES = 32 * MIB


def timed(argv: list[str], stdin: bytes = b"") -> float:
    """Run to the end; return the seconds it took."""
    begun = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True, input=stdin)
    return time.perf_counter() - begun


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    shown = subprocess.run([BANGER, "vm", "show", "--json", options.name], check=True, capture_output=True).stdout
    endpoint = SshEndpoint(**json.loads(shown)["ssh"])
    commands = {
        "ssh NAME true": ssh_argv(endpoint, "/dev/null", "true", terminal=False),
        "banger vm exec NAME -- true": [BANGER, "vm", "exec", options.name, "--", "true"],
        "banger vm list": [BANGER, "vm", "list"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(options.rounds + 1):
        for name, argv in commands.items():
            took_s = timed(argv)
            if turn:  # the first turn fills caches
                times[name].append(took_s)
    for name, taken in times.items():
        spread = f"{min(taken) * 1000:.1f} to {max(taken) * 1000:.1f}"
        print(f"{name:<30}{statistics.median(taken) * 1000:7.1f} ms   ({spread})")
    print_bulk(options.name, endpoint)
    ours, theirs = times["banger vm exec NAME -- true"], times["ssh NAME true"]
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    print(f"ratio: {ratio:.3f} (limit {LIMIT})")
    return int(ratio > LIMIT)


def print_bulk(name: str, endpoint: SshEndpoint) -> None:
    """Print how fast bytes pass, out of the guest and into it."""
    script = f"head -c {BULK_BYTES} /dev/urandom > /tmp/bulk; cat /tmp/bulk > /dev/null"
    subprocess.run([BANGER, "vm", "exec", name, "--", "sh", "-c", script], check=True)
    data = bytes(range(256)) * (BULK_BYTES // 256)
    rows = {
        "out, exec": ([BANGER, "vm", "exec", name, "--", "cat", "/tmp/bulk"], b""),
        "out, ssh": (ssh_argv(endpoint, "/dev/null", "cat /tmp/bulk", terminal=False), b""),
        "in, exec": ([BANGER, "vm", "exec", name, "--", "sh", "-c", "cat > /dev/null"], data),
        "in, ssh": (ssh_argv(endpoint, "/dev/null", "cat > /dev/null", terminal=False), data),
    }
    for row, (argv, stdin) in rows.items():
        print(f"{row:<30}{BULK_BYTES / MIB / timed(argv, stdin):7.1f} MiB/s")


if __name__ == "__main__":
    sys.exit(main())
