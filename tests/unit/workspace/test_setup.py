"""What a set-up is given: the command that was asked for, and of the checkout only files that git tracks."""

import subprocess
from pathlib import Path

import pytest

from banger.model.errors import SpecError
from banger.model.vm import SetupRequest
from banger.workspace.setup import known, read_setup


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "sub").mkdir(parents=True)
    for name, text in {
        "package-lock.json": "{}",
        "package.json": '{"name": "x"}',
        "main.js": "",
        "requirements-dev.txt": "pytest\n",
        "sub/uv.lock": "lock",
        ".gitignore": ".env\n",
        ".env": "TOKEN=secret",
    }.items():
        (root / name).write_text(text)
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", root, *words], check=True)
    (root / "untracked.lock").write_text("x")
    return root


async def test_lock_files_that_are_known_by_name_come_with_what_their_tools_need(repository: Path) -> None:
    found = await read_setup(repository / "sub", SetupRequest("npm ci"))
    assert found is not None
    assert list(found.files) == ["package-lock.json", "package.json", "requirements-dev.txt"]
    assert (found.command, found.origin, found.files["package.json"]) == ("npm ci", "--setup", b'{"name": "x"}')


async def test_files_that_are_named_are_the_only_ones(repository: Path) -> None:
    found = await read_setup(repository, SetupRequest("uv sync", ("./sub/uv.lock",)))
    assert found is not None
    assert dict(found.files) == {"sub/uv.lock": b"lock"}


@pytest.mark.parametrize(
    "name", [".env", "untracked.lock", "nothing", "../checkout/main.js", "/etc/passwd", ".git/config"]
)
@pytest.mark.parametrize("who", ["user", "repository"])
async def test_what_git_does_not_track_is_given_to_nobody(repository: Path, name: str, who: str) -> None:
    asked = SetupRequest("cat", (name,)) if who == "user" else None
    if asked is None:
        (repository / "banger.toml").write_text(f'[setup]\ncommand = "cat"\nlocks = ["{name}"]\n')
    with pytest.raises(SpecError):
        await read_setup(repository, asked)


async def test_a_link_in_the_place_of_a_tracked_file_is_refused(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (repository / "package.json").unlink()
    (repository / "package.json").symlink_to(tmp_path / "secret")
    with pytest.raises(SpecError):
        await read_setup(repository, SetupRequest("npm ci"))


async def test_the_repository_can_ask_for_a_set_up_and_the_user_can_refuse_or_replace_it(repository: Path) -> None:
    (repository / "banger.toml").write_text(
        '[setup]\ncommand = "npm ci"\nlocks = ["package-lock.json"]\n[other]\na = 1\n'
    )
    theirs = await read_setup(repository, None)
    assert theirs is not None
    assert (theirs.command, theirs.origin, list(theirs.files)) == ("npm ci", "banger.toml", ["package-lock.json"])
    assert await read_setup(repository, SetupRequest("")) is None
    ours = await read_setup(repository, SetupRequest("true", ("main.js",)))
    assert ours is not None
    assert (ours.command, list(ours.files)) == ("true", ["main.js"])


@pytest.mark.parametrize(
    "text",
    [
        "[setup]\n",
        '[setup]\ncommand = ""\n',
        '[setup]\ncommand = ["rm"]\n',
        '[setup]\ncommand = "x"\nimage = "other"\n',
        '[setup]\ncommand = "x"\nmemory = 1\n',
        "[setup",
        "setup = 3",
        f'[setup]\ncommand = "{"x" * 5000}"\n',
    ],
)
async def test_a_table_that_asks_for_more_or_makes_no_sense_is_refused(repository: Path, text: str) -> None:
    (repository / "banger.toml").write_text(text)
    with pytest.raises(SpecError):
        await read_setup(repository, None)


async def test_a_repository_without_a_table_asks_for_nothing(repository: Path) -> None:
    assert await read_setup(repository, None) is None
    (repository / "banger.toml").write_text("[vm]\nvcpu = 1\n")
    assert await read_setup(repository, None) is None


def test_a_manifest_without_its_lock_is_no_input() -> None:
    assert known(["package.json", "Cargo.toml", "go.mod", "pyproject.toml", "src/Cargo.lock"]) == []
    assert known(["go.sum", "go.mod", "Cargo.lock"]) == ["Cargo.lock", "go.mod", "go.sum"]
