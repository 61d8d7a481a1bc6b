"""`vm workspace prepare` against git and scp by hand, in a VM that runs: `scripts/bench_workspace NAME`.

A repository of 20,000 files and 300 MB. The first time: against `git bundle create`, `scp` and `git clone` of the same,
in turn. Again after a change of one line: against one `banger vm exec NAME -- true`. Whole processes, medians. Fails if
the first time takes more than 1.5 x by hand, or the second more than 1.0 s besides the exec.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from banger.cli.ssh import ssh_argv
from banger.model.vm import SshEndpoint

BANGER = str(Path(sys.executable).with_name("banger"))
RATIO, AGAIN_S = 1.5, 1.0
FILES, FILE_BYTES, A_FOLDER = 20_000, 15_000, 100
ROUNDS = 3
WORDS = [f"{number:x}" for number in range(4096)]


def run(*argv: str | Path, **more: object) -> float:
    """Run to the end; return the seconds it took."""
    begun = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, check=False, **more)  # type: ignore[call-overload]
    if done.returncode != 0:
        sys.exit(f"{argv}: {done.stderr.decode(errors='replace')}")
    return time.perf_counter() - begun


def content(number: int, size: int) -> bytes:
    """Text of `size` bytes that compresses about as code does."""
    rng = random.Random(number)
    text = " ".join(rng.choices(WORDS, k=size // 3))
    return text[: size - 1].encode() + b"\n"


def import_stream(files: int, size: int) -> Iterator[bytes]:
    """A commit with all the files, as `git fast-import` reads it."""
    for number in range(files):
        data = content(number, size)
        yield b"blob\nmark :%d\ndata %d\n%b\n" % (number + 1, len(data), data)
    yield b"commit refs/heads/main\ncommitter A <a@example.org> 1700000000 +0000\ndata 5\nfirst\n"
    for number in range(files):
        yield b"M 100644 :%d dir%d/file%d.txt\n" % (number + 1, number // A_FOLDER, number)


def make_repository(folder: Path, files: int, size: int) -> Path:
    """Make it, checked out."""
    repo = folder / "repo"
    run("git", "init", "-q", "-b", "main", repo)
    with subprocess.Popen(["git", "-C", repo, "fast-import", "--quiet"], stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.writelines(import_stream(files, size))
    run("git", "-C", repo, "checkout", "-q", "main")
    return repo


class Guest:
    """The VM, by banger and by ssh."""

    def __init__(self, name: str) -> None:
        self.name = name
        shown = subprocess.run([BANGER, "vm", "show", "--json", name], check=True, capture_output=True).stdout
        self.endpoint = SshEndpoint(**json.loads(shown)["ssh"])

    def exec(self, *words: str) -> float:
        """Run a command in it."""
        return run(BANGER, "vm", "exec", self.name, "--", *words)

    def ssh(self, command: str) -> float:
        """The same by ssh."""
        return run(*ssh_argv(self.endpoint, "/dev/null", command, terminal=False))

    def scp(self, file: Path, target: str) -> float:
        """Copy a file into it."""
        argv = ssh_argv(self.endpoint, "/dev/null", None, terminal=False)
        options = [word for pair in itertools.pairwise(argv) if pair[0] == "-o" for word in pair]
        port = str(self.endpoint.port)
        return run("scp", "-q", "-F", "none", "-P", port, *options, file, f"root@{self.endpoint.host}:{target}")


def by_hand(guest: Guest, repo: Path, scratch: Path) -> dict[str, float]:
    """Bundle, copy, clone."""
    guest.exec("rm", "-rf", "/root/by-hand", "/root/by-hand.bundle")
    bundle = scratch / "bundle"
    bundle.unlink(missing_ok=True)
    return {
        "git bundle create": run("git", "-C", repo, "bundle", "create", "-q", bundle, "HEAD", "main"),
        "scp": guest.scp(bundle, "/root/by-hand.bundle"),
        "git clone": guest.ssh("git clone -q /root/by-hand.bundle /root/by-hand"),
    }


def prepare(guest: Guest, repo: Path) -> float:
    """The first time, or again."""
    return run(BANGER, "vm", "workspace", "prepare", "-q", guest.name, repo)


def again(guest: Guest, repo: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Prepare after a change of one line; beside each an exec that does nothing."""
    took: list[float] = []
    execs: list[float] = []
    file = repo / "dir0/file0.txt"
    for turn in range(rounds + 1):
        with file.open("a") as opened:
            opened.write(f"line {turn}\n")
        one, other = prepare(guest, repo), guest.exec("true")
        if turn:  # the first fills caches
            took.append(one)
            execs.append(other)
    guest.exec("grep", "-qx", f"line {rounds}", "/root/repo/dir0/file0.txt")
    return took, execs


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--files", type=int, default=FILES)
    options = parser.parse_args()
    guest = Guest(options.name)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        repo = make_repository(Path(folder), options.files, FILE_BYTES)
        steps: list[dict[str, float]] = []
        first: list[float] = []
        for _ in range(options.rounds):
            steps.append(by_hand(guest, repo, Path(folder)))
            guest.exec("rm", "-rf", "/root/repo", "/root/by-hand", "/root/by-hand.bundle")
            first.append(prepare(guest, repo))
        took, execs = again(guest, repo, 5 * options.rounds)
    for name in steps[0]:
        print(f"by hand: {name:<24}{statistics.median(step[name] for step in steps):8.2f} s")
    hands = [sum(step.values()) for step in steps]
    print(f"{'by hand':<33}{statistics.median(hands):8.2f} s   {[round(one, 1) for one in hands]}")
    print(f"{'prepare, the first time':<33}{statistics.median(first):8.2f} s   {[round(one, 1) for one in first]}")
    print(f"{'prepare, one line later':<33}{statistics.median(took):8.2f} s   ({min(took):.2f} to {max(took):.2f})")
    print(f"{'vm exec NAME -- true':<33}{statistics.median(execs):8.2f} s")
    ratio = statistics.median(mine / other for mine, other in zip(first, hands, strict=True))
    beyond = statistics.median(mine - other for mine, other in zip(took, execs, strict=True))
    print(f"ratio: {ratio:.2f} (limit {RATIO}); one line later beyond an exec: {beyond:.2f} s (limit {AGAIN_S})")
    return int(ratio > RATIO or beyond > AGAIN_S)


if __name__ == "__main__":
    sys.exit(main())
