"""How fast the command line is, as ratios of programs that do nothing: `scripts/bench_cli.py`. The daemon must be up.

Prints medians of wall times. Fails if `--version` takes more than 3 x `python -c pass`, or `vm list` more than 1.15 x a
typer program with two commands.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 9
LIMITS = {"--version": 3.0, "vm list": 1.15}
TWO_COMMANDS = """
import typer

app = typer.Typer()


@app.command()
def first(count: int = 1) -> None:
    print("first", count)


@app.command()
def second(name: str = "x") -> None:
    print("second", name)


app()
"""


def main() -> int:
    """Measure, print, compare."""
    banger = str(Path(sys.executable).with_name("banger"))
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "two.py"
        program.write_text(TWO_COMMANDS)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "typer": [sys.executable, str(program), "first"],
            "--version": [banger, "--version"],
            "vm list": [banger, "vm", "list"],
        }
        times = _medians(commands)
    for name, took_s in times.items():
        print(f"{name:<16}{took_s * 1000:7.1f} ms")
    ratios = {"--version": times["--version"] / times["python -c pass"], "vm list": times["vm list"] / times["typer"]}
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} (limit {LIMITS[name]})")
    return int(any(ratio > LIMITS[name] for name, ratio in ratios.items()))


def _medians(commands: dict[str, list[str]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(ROUNDS + 1):
        for name, argv in commands.items():
            begun = time.perf_counter()
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            if turn:  # the first turn fills the page cache and starts the daemon
                times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(taken) for name, taken in times.items()}


if __name__ == "__main__":
    sys.exit(main())
