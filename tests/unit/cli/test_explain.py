"""`why`, `runs`, `trace`, `bench` and the forms of `plan`, as somebody sees them who reads no manual."""

import json
import re
from pathlib import Path

import pytest

from banger.cli.bench_create import alternating
from tests.fakes.installation import Installation

WHY = """\
image.rootfs: input:tar: an input changed
  in run      222222222222  vm.create, 2023-11-14 22:13:22 UTC, succeeded
  beside run  111111111111  vm.create, 2023-11-14 22:13:21 UTC, succeeded

image.rootfs debian  input:tar
  inputs.tar  sha256:cdcdcdcdcdcd -> sha256:efefefefefef

image.resolve debian  ttl   <- here
  value.lock.packages[libc6].version  2.36-9 -> 2.36-10
  value.new                           added: 1

made stale: image.rootfs, disk.rootfs
not affected: image.work_seed
"""

TRACE = """\
run 222222222222, vm.create, warm: 2.00 s, 1 cached, 4 ran

Critical path: each step waited for the one above it.
STEP           TIME  SHARE  RUN IF IT WERE FREE
disk.work    0.50 s    25%               1.50 s
disk.rootfs  0.25 s    12%               1.75 s
vm.boot      0.25 s    12%               1.75 s
guest.agent  1.00 s    50%               1.00 s

All nodes together: resources 0.50 s, dispatch 0.00 s, run 2.00 s, publish 0.00 s
It could not be shorter than: longest chain 1.75 s, pool disk 0.75 s, pool vmm 0.06 s

The guest's boot, by its own clock:
STAGE             FROM    TIME
vmm and firmware  0.75  0.50 s
kernel, to init   1.25  0.50 s
agent             1.75  0.25 s
"""

BENCH = """\
cold, 1 run, the middle one is 111111111111
STAGE           RUNS     P50     P95
image.rootfs *     1  3.80 s  3.80 s
disk.work          1  0.50 s  0.50 s
disk.rootfs *      1  0.25 s  0.25 s
vm.boot *          1  0.25 s  0.25 s
guest.agent *      1  1.00 s  1.00 s
total              1  6.00 s  6.00 s

warm, 1 run, the middle one is 222222222222
STAGE          RUNS     P50     P95  BASELINE  CHANGE
"""


def test_why_follows_a_change_to_where_it_began(shared: Installation) -> None:
    assert shared.ok("why", "image.rootfs") == WHY
    answer = json.loads(shared.ok("why", "image.rootfs", "--json"))
    assert answer["steps"][-1]["changes"][0]["after"] == "2.36-10"


def test_why_takes_one_run_or_two(banger: Installation) -> None:
    banger.ok("why", "image.rootfs", "--run", "last")
    banger.ok("why", "image.rootfs", "--run", "11", "--run", "22")
    calls = [json.loads(line) for line in (banger.state / "calls.jsonl").read_text().splitlines()]
    assert calls == [
        ["why", ["image.rootfs", "last", None]],
        ["why", ["image.rootfs", "22", "11"]],
    ]


def test_what_is_not_there_is_refused_with_what_to_type(shared: Installation) -> None:
    for words, hint in (
        (["why", "nonsense"], "banger runs show last"),
        (["why", "image.rootfs", "--run", "ffff"], "banger runs ls"),
        (["trace", "ffff"], "banger runs ls"),
        (["runs", "show", "ffff"], "banger runs ls"),
        (["bench", "--baseline", "ffff"], "banger runs ls"),
    ):
        done = shared.run(*words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert done.stderr.splitlines()[-1] == f"  try: {hint}"


def test_runs_are_listed_and_shown(shared: Installation) -> None:
    rows = shared.ok("runs", "ls").splitlines()
    assert rows[0].split() == ["RUN", "WHAT", "STARTED", "OUTCOME", "MODE", "CACHED", "RAN", "TIME"]
    assert rows[1].split()[-4:] == ["1", "4", "2.00", "s"]
    assert [row["mode"] for row in json.loads(shared.ok("runs", "ls", "--json"))] == ["warm", "cold"]
    shown = shared.ok("runs", "show", "last")
    assert "image.rootfs  hit    0.00          cdcdcdcdcdcd  200.0 MiB" in shown


def test_trace_says_where_the_time_went(shared: Installation) -> None:
    assert shared.ok("trace") == TRACE


def test_trace_writes_what_perfetto_reads_and_lines_for_programs(shared: Installation, tmp_path: Path) -> None:
    shared.ok("trace", "--chrome", str(tmp_path / "trace.json"))
    assert json.loads((tmp_path / "trace.json").read_text())["displayTimeUnit"] == "ms"
    lines = [json.loads(line) for line in shared.ok("trace", "--json").splitlines()]
    assert [line["type"] for line in lines] == ["run", *["node"] * 5, *["span"] * 3, *["path"] * 4]
    assert sum(line["exclusive_s"] for line in lines if line["type"] == "path") == pytest.approx(2.0)
    assert shared.ok("trace", "--html", "-").startswith("<!doctype html>")
    done = shared.run("trace", "--chrome", str(tmp_path / "no" / "such" / "place"))
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr


def test_bench_keeps_cold_and_warm_apart(shared: Installation) -> None:
    text = shared.ok("bench")
    assert text.startswith(BENCH.partition("  BASELINE")[0].rstrip())
    assert "warm, 1 run" in text
    assert [mode["mode"] for mode in json.loads(shared.ok("bench", "--json"))["modes"]] == ["cold", "warm"]


def test_bench_is_compared_with_a_run_or_with_an_earlier_answer(shared: Installation, tmp_path: Path) -> None:
    earlier = json.loads(shared.ok("bench", "--json"))
    earlier["modes"][1]["p50_s"] = 1.6
    (tmp_path / "earlier.json").write_text(json.dumps(earlier))
    total = shared.ok("bench", "--baseline", str(tmp_path / "earlier.json")).splitlines()[-3]
    assert total.split() == ["total", "1", "2.00", "s", "2.00", "s", "1.60", "s", "+25%"]
    total = shared.ok("bench", "--baseline", "last").splitlines()[-3]
    assert total.split()[-1] == "+0%"
    (tmp_path / "other.json").write_text("no JSON")
    done = shared.run("bench", "--baseline", str(tmp_path / "other.json"))
    assert "is not what `banger bench --json` prints" in done.stderr


@pytest.mark.requirement("TST-014")
def test_bench_create_makes_and_deletes_what_it_was_told(banger: Installation) -> None:
    # The fake's creates are all its run 2.
    done = banger.run("bench", "create", "--runs", "3", "--memory", "256")
    assert done.returncode == 0, done.stderr
    assert "warm, 3 runs" in done.stdout
    assert "3 of 3: boot, 2.00 s" in done.stderr
    calls = [json.loads(line)[0] for line in (banger.state / "calls.jsonl").read_text().splitlines()]
    once = ["create_vm", "delete_vm"]
    assert calls == [*once, "build_template", *once, *once * 3]
    assert "booting only" in done.stderr  # the fake restores nothing
    assert banger.ok("vm", "list", "--json").strip() == "[]"


def test_ways_to_bring_a_vm_up_alternate() -> None:
    assert alternating(["a", "b"], 3) == ["a", "b", "b", "a", "a", "b"]
    assert alternating(["a"], 2) == ["a", "a"]


def test_exit_code_says_whether_there_is_work_to_do(shared: Installation) -> None:
    assert shared.run("plan", "vm", "create", "--exit-code").returncode == 0
    assert shared.run("plan", "vm", "run", "--image", "new", "--exit-code").returncode == 10
    assert shared.run("plan", "vm", "run", "--image", "new").returncode == 0


def test_a_plan_can_be_had_in_every_form(shared: Installation, tmp_path: Path) -> None:
    assert shared.ok("plan", "vm", "run", "--dot").startswith("digraph plan {")
    assert shared.ok("plan", "vm", "run", "--mermaid").startswith("flowchart LR")
    shared.ok("plan", "vm", "create", "--html", str(tmp_path / "plan.html"))
    assert "<svg" in (tmp_path / "plan.html").read_text()
    missing = shared.ok("plan", "vm", "create", "--image", "new")
    assert re.search(r"image\.rootfs new +miss +\* abababababab  last 41\.0 s  params\n", missing)
    done = shared.run("plan", "vm", "create", "--dot", "--json")
    assert (done.returncode, done.stdout) == (1, "")


def test_output_is_plain_where_nobody_looks_and_where_it_is_wanted(shared: Installation) -> None:
    for words in (["trace"], ["bench"], ["why", "image.rootfs"], ["plan", "vm", "create"], ["runs", "ls"]):
        assert "\x1b" not in shared.ok(*words, NO_COLOR="1", FORCE_COLOR="1", TERM="xterm-256color")


def test_nodes_and_runs_are_completed(banger: Installation) -> None:
    banger.ok("runs", "ls")
    words = {"_BANGER_COMPLETE": "bash_complete", "COMP_WORDS": "banger why image.", "COMP_CWORD": "2"}
    assert banger.run(**words).stdout == "plain,image.rootfs\n"
    words |= {"COMP_WORDS": "banger trace l", "COMP_CWORD": "2"}
    assert banger.run(**words).stdout == "plain,last\n"
