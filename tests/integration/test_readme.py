"""The commands of the README do what it says, in its order, in a home directory where nothing else is."""

import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import BANGER, Banger

pytestmark = [pytest.mark.vm, pytest.mark.network]

README = (Path(__file__).parents[2] / "README.md").read_text()
INTERACTIVE = re.compile(r"banger vm (run( ~/src/app)?|ssh \S+)\Z")


def commands() -> list[str]:
    """Every command that the README shows with `banger`, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("banger ")]


def at_a_terminal(banger: Banger, line: str) -> str:
    """Type `exit 3` into the shell that a command opens, and return what the terminal showed."""
    ours, theirs = pty.openpty()
    argv = ["sh", "-c", line]
    with subprocess.Popen(argv, env=banger.env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, b"pwd; exit 3\n")
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # EIO: the other end has closed
            pass
        assert process.wait() == 3, shown
    os.close(ours)
    return shown.decode(errors="replace")


@pytest.fixture
def app(banger: Banger) -> Iterator[Path]:
    """The checkout that the README speaks of."""
    folder = banger.home / "src" / "app"
    folder.mkdir(parents=True)
    (folder / "Makefile").write_text("test:\n\t@echo tested in $(CURDIR)\n")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    yield folder
    shutil.rmtree(banger.home / "src")


@pytest.mark.requirement("WSP-001")
@pytest.mark.requirement("CLI-010")
@pytest.mark.usefixtures("app")
def test_every_command_of_the_readme_works(banger: Banger) -> None:
    banger.env["PATH"] = f"{Path(BANGER).parent}:{banger.env['PATH']}"
    shown = {}
    for command in commands():
        vms = json.loads(banger.ok("vm", "list", "--json"))
        line = command.replace("NAME", vms[0]["name"] if vms else "NAME")
        if INTERACTIVE.match(line):
            shown[command] = at_a_terminal(banger, line)
            continue
        done = subprocess.run(["sh", "-c", line], env=banger.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        shown[command] = done.stdout
    assert "tested in /root/repo" in shown["banger vm run --rm ~/src/app -- make test"]
    assert "/root/repo" in shown["banger vm run ~/src/app"]
    assert "/root" in shown["banger vm ssh NAME"]
    assert len(json.loads(banger.ok("vm", "list", "--json"))) == 1  # two were made to stay, one was deleted
