"""Every state that a power cut may leave of the store, within a model of what POSIX promises, is recovered from.

A workload is traced once; `tests.crash.disk_model` says what a cut after each of its steps can leave; each of these is
built, recovered and compared with what the workload had acknowledged.
"""

import itertools
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.crash.disk_model import TRACED, Reader, Trace, build, crash_states
from tests.crash.store_work import OPERATIONS, check, close_parts, open_parts
from tests.crash.strace import calls, strace

SHORT = [
    *((name,) for name in OPERATIONS),
    ("record", "collect"),
    ("put", "collect", "record"),
    ("same", "record"),
    ("record", "same"),
    ("intend", "hold"),
    ("intend", "hold", "release"),
    ("quarantine", "put"),
    ("adopt", "record", "collect"),
]
BASE_WORK = ("record", "intend")
"""What an earlier run left in the directory: durable, closed."""
SAMPLE = 800
_SEED = 20_240_229


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory: what is built there is thrown away at once."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as directory:
        yield Path(directory)


def traced(directory: Path, workloads: Sequence[Sequence[str]], *, base: Path | None) -> list[Trace]:
    """Trace workloads, one process for all of them, each in a directory of its own."""
    words: list[str] = []
    roots = [directory / f"w{number}" for number in range(len(workloads))]
    for root, workload in zip(roots, workloads, strict=True):
        if base:
            shutil.copytree(base, root)
        words += [str(root), *workload, ","]
    done = strace(
        directory / "log", ["tests.crash.store_work", *words[:-1]], "-e", f"trace={TRACED}", "-xx", "-s", "99999"
    )
    assert done.returncode == 0, done.stderr
    assert "refused" not in done.stdout
    readers = iter([Reader(root, base) for root in roots])
    traces: list[Trace] = []
    current: Reader | None = None
    for call in calls(directory / "log"):
        begins = call.name == "write" and call.arguments.startswith('1, "\\x62\\x65\\x67\\x69\\x6e')
        if begins:
            current = next(readers)
            traces.append(current.trace)
        elif current:
            current.take(call)
    assert len(traces) == len(workloads)
    return traces


def make_base(directory: Path) -> Path:
    base = directory / "base"
    state = open_parts(base)
    close_parts(state)
    return base


def try_states(memory: Path, cases: Sequence[tuple[Sequence[str], Trace, object]]) -> None:
    for number, (workload, trace, state) in enumerate(cases):
        root = memory / str(number)
        root.mkdir()
        build(trace, state, root)  # type: ignore[arg-type]
        try:
            check(root, workload, state.acknowledged)  # type: ignore[attr-defined]
        except Exception as error:
            error.add_note(f"{' '.join(workload)}: {describe(trace, state)}")
            raise
        shutil.rmtree(root)


def describe(trace: Trace, state: object) -> str:
    applied = set(state.applied)  # type: ignore[attr-defined]
    lost = [f"{number}: {step}"[:200] for number, step in enumerate(trace.steps) if number not in applied]
    return f"{state}\nnot there: " + "\n".join(lost)


def test_a_power_cut_in_a_short_workload_loses_nothing_that_was_acknowledged(tmp_path: Path, memory: Path) -> None:
    traces = traced(tmp_path, SHORT, base=make_base(tmp_path))
    cases = [
        (workload, trace, state) for workload, trace in zip(SHORT, traces, strict=True) for state in crash_states(trace)
    ]
    assert len(cases) > SAMPLE
    try_states(memory, random.Random(_SEED).sample(cases, SAMPLE))


def test_a_power_cut_while_the_state_directory_is_made_leaves_one_that_opens(tmp_path: Path, memory: Path) -> None:
    (trace,) = traced(tmp_path, [("put",)], base=None)
    cases = [(("put",), trace, state) for state in crash_states(trace)]
    try_states(memory, random.Random(_SEED).sample(cases, min(300, len(cases))))


@pytest.mark.nightly
@pytest.mark.timeout(4 * 3600)
def test_a_power_cut_in_any_workload_of_three_operations_loses_nothing(tmp_path: Path, memory: Path) -> None:
    """9 + 81 + 729 workloads. What a cut before the last operation leaves, the shorter workloads have shown."""
    base = make_base(tmp_path)
    workloads = [one for length in (1, 2, 3) for one in itertools.product(OPERATIONS, repeat=length)]
    total = 0
    for start in range(0, len(workloads), 50):
        some = workloads[start : start + 50]
        directory = tmp_path / str(start)
        directory.mkdir()
        traces = traced(directory, some, base=base)
        cases = [
            (workload, trace, state)
            for workload, trace in zip(some, traces, strict=True)
            for state in crash_states(trace, after_acks=len(workload) - 1)
        ]
        try_states(memory, cases)
        total += len(cases)
        shutil.rmtree(directory)
    assert total > 50_000
