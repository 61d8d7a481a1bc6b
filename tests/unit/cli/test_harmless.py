"""No string of a guest's, an image's or a repository's commands the terminal, whichever verb shows it."""

import ast
import io
import json
import logging
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import pytest

from banger.cli.harmless import Harmless, sanitised, unfiltered
from banger.cli.output import print_json, print_table
from banger.daemon.main import _Formatter
from tests.fakes.installation import ROOT, Installation, installed

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b5m\x08\x00\x7f\rover\u202etxt"
OBEYED = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]|\r(?!\n)"
)
MAY_WRITE_BYTES = {
    "remote.py",  # what a command writes, whose terminal it is
    "ssh_proxy.py",  # to ssh
    "tail.py",  # harmless for a terminal by itself, as are the next two
    "vm_logs.py",
    "vm_workspace_export.py",
    "unpack.py",  # to files
}


@pytest.fixture(scope="module")
def haunted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a VM in which every string that can be is evil."""
    with installed(tmp_path_factory.mktemp("haunted")) as banger:
        banger.ok("vm", "create", "--name", "box")
        banger.stop()
        file = banger.state / "vms.json"
        (vm,) = json.loads(file.read_text())
        console = Path(vm["console_log"])
        console.write_text(f"{EVIL}\n")
        kept = {name: vm[name] for name in ("id", "name", "state")}
        vm |= {"accelerator": EVIL, "workspace": f"/a\n/b{EVIL}", "problems": [EVIL], "image": EVIL, **kept}
        vm["ssh"] = {name: EVIL if isinstance(value, str) else value for name, value in vm["ssh"].items()}
        file.write_text(json.dumps([vm]))
        yield banger


def at_a_terminal(banger: Installation, *words: str) -> bytes:
    """All that a terminal is sent."""
    ours, theirs = pty.openpty()
    argv = banger.argv(*words)
    with subprocess.Popen(
        argv, env=banger.env | {"TERM": "dumb"}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # EIO: the other end has closed
            pass
        process.wait(60)
    os.close(ours)
    return shown


@pytest.mark.parametrize(
    "words",
    [
        ["vm", "list"],
        ["vm", "list", "--json"],
        ["vm", "show", "box"],
        ["vm", "show", "box", "--json"],
        ["vm", "logs", "box"],
        ["vm", "show", EVIL.replace("\0", "")],
        [EVIL.replace("\0", "")],
        ["vm", "stop", EVIL.replace("\0", ""), "box", "other"],
        ["vm", "ssh", "box"],
        ["plan", "vm", "create", "--image", EVIL.replace("\0", "")],
        ["plan", "vm", "create", "--dot", "--image", EVIL.replace("\0", "")],
        ["config", "show"],
    ],
    ids=lambda words: ascii(" ".join(words))[:40],
)
def test_a_terminal_is_sent_nothing_to_obey(haunted: Installation, words: list[str]) -> None:
    shown = at_a_terminal(haunted, *words)
    assert shown
    assert OBEYED.search(shown) is None, shown
    if words[:2] in (["vm", "list"], ["vm", "show"]) and "box" in words:
        assert b"red" in shown


def test_programs_get_every_character(haunted: Installation) -> None:
    assert json.loads(haunted.ok("vm", "list", "--json"))[0]["image"] == EVIL


@pytest.mark.requirement("TST-007")
def test_a_line_of_a_table_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["NAME"], [["a\nb\x1b[1m"], ["c"]])
    assert capsys.readouterr().out == "NAME\na b\nc\n"


def test_json_keeps_and_escapes_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": EVIL})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": EVIL}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)


def test_a_stream_is_otherwise_what_it_was() -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stream = Harmless(raw)
    print("a\x1b[1mb", "\x9b", file=stream)
    stream.writelines(["\x1b", "c\n"])
    raw.flush()
    assert stream.buffer is raw.buffer
    assert raw.buffer.getvalue() == b"ab \nc\n"
    assert unfiltered(cast("TextIO", stream)) is raw
    assert unfiltered(raw) is raw


def test_the_daemons_log_is_harmless_and_a_message_is_one_line() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "said %s", (f"a\nb{EVIL}",), None)
    line = _Formatter("%(message)s").format(record)
    assert sanitised(line) == line
    assert "\n" not in line
    assert line.startswith("said a\\nb\\x1b]0;owned\\x07")


def test_nothing_else_writes_around_it() -> None:
    for path in (ROOT / "banger/cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {"buffer", "__stdout__", "__stderr__"}:
                assert path.name in MAY_WRITE_BYTES, path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.write":
                assert path.name in MAY_WRITE_BYTES, path
