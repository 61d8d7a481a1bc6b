"""The commands of docs/vms.md do what it says, in its order."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.agent import build_checked_agent
from tests.fakes.docs import commands
from tests.fakes.installation import Installation, installed


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Installation]:
    """A VM called `box`, whose programs run here."""
    with installed(tmp_path) as installation:
        installation.env["FAKE_AGENT"] = str(build_checked_agent(tmp_path / "build"))
        installation.create("box")
        yield installation


def test_every_command_of_the_page_works(box: Installation, tmp_path: Path) -> None:
    for words in commands("vms.md"):
        here = [word.replace("box:/root/", f"box:{tmp_path}/") for word in words]
        done = subprocess.run(
            box.argv(*here), env=box.env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, (words, done.stderr)
    assert (tmp_path / "copied-back").read_bytes() == Path("/etc/hostname").read_bytes()
    assert box.names() == ["box"]
    assert not (tmp_path / ".ssh/config").read_text()
