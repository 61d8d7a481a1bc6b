"""What banger's engine costs beside doit and ninja: `scripts/bench_graph.py [ROUNDS]`.

10,000 nodes that do nothing in 10 layers of 1,000, each with 3 inputs: cold, with nothing to do, and with one input
changed. One round runs each of the programs once; medians of whole processes, from start to exit. doit has the same
real dependencies (files; its actions are Python functions, no process is started for them); of ninja only the run with
nothing to do can be compared, since it starts a process for every node. Prints a table and each target; fails if one
is missed. On a machine that has other things to do, compare the times on a processor: what others do counts little
there. doit and ninja are on the PATH, or in the virtual environment $BENCH_VENV (python3 -m venv DIR; DIR/bin/pip
install doit ninja). $BENCH_DIR: where files are made, if not in the usual place for temporary ones.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

NODES, LAYERS, FAN_IN = 10_000, 10, 3
WIDTH = NODES // LAYERS
ROOT = Path(__file__).parents[1]

DODO = f"""
DOIT_CONFIG = {{"dep_file": "doit.json", "backend": "json", "verbosity": 0}}


def make(number):
    with open(f"out/{{number}}", "w") as file:
        file.write(str(number))


def task_n():
    for number in range({NODES}):
        layer, place = divmod(number, {WIDTH})
        above = [f"out/{{(layer - 1) * {WIDTH} + (place + step) % {WIDTH}}}" for step in range({FAN_IN})]
        yield {{
            "name": str(number),
            "actions": [(make, [number])],
            "targets": [f"out/{{number}}"],
            "file_dep": above if layer else [f"in/{{place}}"],
        }}
"""


def main() -> int:
    """Measure, print, compare."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    # As an installed banger is: pip compiles what it installs.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(ROOT / "banger")], check=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory:
        times, cpu, facts = _measure(Path(directory), rounds)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, seconds in medians.items():
        on_cpu = f"on a processor {statistics.median(cpu[name]):.3f}, best {min(cpu[name]):.3f}"
        print(f"{name:<26}{seconds:9.3f} s   (best {min(times[name]):.3f}; {on_cpu})")
    for name, value in facts.items():
        print(f"{name:<26}{value:9.1f}")
    targets = [
        ("cold / doit", medians["banger cold"] / medians["doit cold"], 0.35),
        ("nothing to do / doit", medians["banger nothing to do"] / medians["doit nothing to do"], 0.30),
        ("nothing to do / ninja", medians["banger nothing to do"] / medians["ninja nothing to do"], 5.0),
        ("one changed / doit", medians["banger one changed"] / medians["doit one changed"], 0.30),
        ("Builds of one changed", facts["ran of one changed"], 1.0),
        ("us for a hop of a chain", facts["hop us"], 120.0),
        ("peak MiB, 10,000 nodes", facts["peak MiB 10k"], 70.0),
        ("peak MiB, 100,000 nodes", facts["peak MiB 100k"], 300.0),
        ("null us/node 100k / 10k", facts["null us/node 100k"] / facts["null us/node 10k"], 1.3),
    ]
    for name, value, limit in targets:
        print(f"{'ok  ' if value <= limit else 'MISS'} {name:<26}{value:9.2f}  (limit {limit:g})")
    return int(any(value > limit for _, value, limit in targets))


Times = dict[str, list[float]]


class _Watch:
    """Seconds of what was done, by name: as they go by, and of those the ones on a processor."""

    def __init__(self) -> None:
        self.times: Times = {}
        self.cpu: Times = {}

    def take(self, name: str, action: Callable[[], object]) -> None:
        """Do something, and note how long it took."""
        begun, cpu_begun = time.perf_counter(), _cpu_seconds()
        action()
        self.times.setdefault(name, []).append(time.perf_counter() - begun)
        self.cpu.setdefault(name, []).append(_cpu_seconds() - cpu_begun)


def _measure(place: Path, rounds: int) -> tuple[Times, Times, dict[str, float]]:
    doit, ninja = place / "doit", place / "ninja"
    for one in (doit / "in", doit / "out", ninja):
        one.mkdir(parents=True)
    for number in range(WIDTH):
        (doit / "in" / str(number)).write_text("0")
    (doit / "dodo.py").write_text(DODO)
    _write_ninja(ninja)
    _run([_tool("ninja")], ninja)
    watch = _Watch()
    take = watch.take
    facts: dict[str, float] = {}

    def banger(*words: str, nodes: int = NODES, layers: int = LAYERS, where: Path | None = None) -> dict[str, float]:
        shape = ["--nodes", str(nodes), "--layers", str(layers), "--fan-in", str(FAN_IN)]
        program = str(Path(sys.executable).with_name("banger"))
        out = _run([program, "bench", "graph", *shape, "--state-dir", str(where or state), "--json", *words], place)
        result: dict[str, float] = json.loads(out)
        return result

    state = place / "state0"
    null_us: list[float] = []
    hops: list[dict[str, float]] = []
    for number in range(rounds):
        state = place / f"state{number}"
        for one in (doit / "out").iterdir():
            one.unlink()
        (doit / "doit.json").unlink(missing_ok=True)
        take("doit cold", lambda: _run([_tool("doit"), "run"], doit))
        take("banger cold", banger)
        take("doit nothing to do", lambda: _run([_tool("doit"), "run"], doit))
        take("banger nothing to do", lambda: null_us.append(banger()["us_per_node"]))
        take("ninja nothing to do", lambda: _run([_tool("ninja")], ninja))
        (doit / "in" / "0").write_text(f"changed {number}")
        take("doit one changed", lambda: _run([_tool("doit"), "run"], doit))
        take("banger one changed", lambda: facts.update({"ran of one changed": banger("--change", "1")["ran"]}))
        hops.append(banger(nodes=NODES, layers=NODES, where=place / f"chain{number}"))
    facts["hop us"] = statistics.median(one["us_per_node"] for one in hops)
    facts["hop us on a processor"] = statistics.median(one["cpu_us_per_node"] for one in hops)
    facts["null us/node 10k"] = statistics.median(null_us)
    facts["peak MiB 10k"] = banger(where=place / "ten")["peak_mib"]
    many = {"nodes": 100_000, "layers": 10}
    facts["peak MiB 100k"] = banger(where=place / "hundred", **many)["peak_mib"]
    big = [banger(where=place / "hundred", **many) for _ in range(3)]
    facts["null us/node 100k"] = statistics.median(one["us_per_node"] for one in big)
    return watch.times, watch.cpu, facts


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write_ninja(place: Path) -> None:
    lines = ["rule touch", "  command = : > $out"]
    for number in range(NODES):
        layer, row = divmod(number, WIDTH)
        above = [f"n{(layer - 1) * WIDTH + (row + step) % WIDTH}" for step in range(FAN_IN)] if layer else [f"in{row}"]
        lines.append(f"build n{number}: touch {' '.join(above)}")
    (place / "build.ninja").write_text("\n".join(lines) + "\n")
    for row in range(WIDTH):
        (place / f"in{row}").touch()


def _tool(name: str) -> str:
    venv = os.environ.get("BENCH_VENV")
    found = shutil.which(name, path=f"{venv}/bin" if venv else None)
    if found is None:
        raise SystemExit(f"{name} is not there: python3 -m venv DIR; DIR/bin/pip install doit ninja; BENCH_VENV=DIR")
    return found


def _run(argv: list[str], where: Path) -> str:
    return subprocess.run(argv, cwd=where, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
