"""How a running operation is shown."""

import io
import os
import pty
import re
import sys

import pytest

from banger.cli.doing import DOING
from banger.cli.progress import PlainProgress, amount_text, progress, title
from banger.model.progress import Event, PlannedNode
from banger.tasks import find_task


def _node(name: str, expected_s: float | None) -> PlannedNode:
    return {"id": name, "kind": name, "flavour": "build", "label": "x", "expected_s": expected_s}


def _shown(*events: Event) -> list[str]:
    stream = io.StringIO()
    plain = PlainProgress(stream)
    plain.show({"event": "plan", "at": 0.0, "nodes": [_node("long", 30.0), _node("short", 0.1)]})
    for event in events:
        plain.show(event)
    return stream.getvalue().splitlines()


def test_only_what_takes_long_is_worth_a_line() -> None:
    assert _shown(
        {"event": "node", "at": 0.0, "id": "long", "state": "running"},
        {"event": "node", "at": 0.0, "id": "short", "state": "running"},
        {"event": "node", "at": 0.1, "id": "short", "state": "done", "seconds": 0.1},
        {"event": "node", "at": 31.0, "id": "long", "state": "done", "seconds": 31.0},
    ) == ["long x … (about 30.0 s)", "long x: 31.0 s"]


def test_a_node_is_called_by_what_it_does_and_never_twice() -> None:
    def named(kind: str, label: str) -> str:
        return title({"id": kind, "kind": kind, "flavour": "build", "label": label, "expected_s": None})

    assert named("kernel.resolve", "kernel.resolve") == "asking which kernel is current"
    assert named("image.resolve", "debian") == "asking which packages the image has (debian)"
    assert named("a.new_kind", "a.new_kind") == "a.new_kind"
    assert named("a.new_kind", "x") == "a.new_kind x"


def test_every_kind_that_is_put_into_words_is_one() -> None:
    for kind in DOING:
        assert find_task(kind).kind == kind


def test_trouble_is_worth_a_line() -> None:
    assert _shown(
        {"event": "node", "at": 0.0, "id": "short", "state": "retrying", "detail": "connection reset"},
        {"event": "node", "at": 0.0, "id": "short", "state": "failed", "seconds": 0.1},
    ) == ["short x: retrying: connection reset", "short x: failed"]


def test_the_summary_comes_last() -> None:
    lines = _shown({"event": "summary", "at": 1.0, "run_id": "r", "cached": 14, "ran": 3, "seconds": 0.94})
    assert lines == ["14 cached, 3 ran, 0.9 s"]


def test_bytes_are_written_for_people() -> None:
    mib = 1024 * 1024
    assert (
        amount_text({"event": "progress", "at": 0, "id": "x", "done": 12 * mib, "total": 40 * mib, "unit": "bytes"})
        == "12.0 MiB of 40.0 MiB"
    )
    assert (
        amount_text({"event": "progress", "at": 0, "id": "x", "done": 3, "total": None, "unit": "items", "text": "f"})
        == "3 f"
    )


def test_what_a_guest_said_cannot_command_the_terminal() -> None:
    assert _shown({"event": "notice", "at": 0.0, "text": "\x1b[2Jguest"}) == ["guest"]


@pytest.mark.requirement("CLI-028")
def test_a_terminal_shows_a_line_for_each_running_node(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stderr", os.fdopen(follower, "w"))
    shown = progress(quiet=False)
    with shown:
        shown.show({"event": "plan", "at": 0.0, "nodes": [_node("[red]long", 30.0)]})
        shown.show({"event": "node", "at": 0.0, "id": "[red]long", "state": "running"})
        shown.show({"event": "progress", "at": 0, "id": "[red]long", "done": 2048, "total": None, "unit": "bytes"})
    sys.stderr.close()
    text = _all(leader)
    assert re.search(r"\[red\]long x  [0-9.]+ s of about 30.0 s  2.0 KiB", text), text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again


def _all(descriptor: int) -> str:
    data = b""
    try:
        while chunk := os.read(descriptor, 65536):
            data += chunk
    except OSError:  # EIO: the other end is closed
        os.close(descriptor)
    return data.decode()
