"""A repository with one commit, and a guest to send it to."""

from pathlib import Path

import pytest

from tests.unit.workspace.repositories import Guest, Repo, make_repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = make_repo(tmp_path / "host")
    made.write("README", "hello\n")
    made.write("src/main.c", "int main;\n")
    made.write("run.sh", "#!/bin/sh\n", 0o755)
    (made.root / "link").symlink_to("src/main.c")
    made.write(".gitignore", ".env\n*.o\n")
    made.commit("first")
    return made


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    (tmp_path / "guest").mkdir()
    return Guest(tmp_path / "guest")
