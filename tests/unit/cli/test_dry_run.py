"""`--dry-run` and the notice about untracked files: read here, said plainly, and true of what a real run ships."""

from pathlib import Path

import pytest

from tests.fakes.installation import Installation
from tests.unit.workspace.repositories import Guest, Repo, make_repo, tree

LISTED = ["", "--include-untracked"]


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = make_repo(tmp_path / "work")
    made.write("README", "hello\n")
    made.write(".gitignore", ".env\n")
    made.write("src/main.c", "int main;\n")
    made.commit()
    made.write("README", "changed\n")
    made.write(".env", "SECRET=1\n")
    made.write("notes", "mine\n")
    return made


@pytest.mark.requirement("CLI-020", "WSP-008")
@pytest.mark.anyio
@pytest.mark.parametrize("option", LISTED)
async def test_the_list_is_what_a_real_run_ships_and_nothing_else_happens(
    banger: Installation, repo: Repo, tmp_path: Path, option: str
) -> None:
    done = banger.run(*["vm", "run", "--dry-run", str(repo.root / "src"), *filter(None, [option])])
    assert done.returncode == 0, done.stderr
    guest = Guest(tmp_path / "guest")
    await guest.sync(await repo.inspect(include_untracked=bool(option)), tmp_path / "scratch")
    shipped = sorted(tree(guest.repo.root))
    assert done.stdout.splitlines() == shipped
    assert ("notes" in shipped) == bool(option)
    assert ".env" not in shipped
    mode = "tracked and untracked files" if option else "tracked files only"
    assert done.stderr == f"{len(shipped)} files, {mode}\n"
    assert banger.daemon_pid() is None
    assert not banger.state.exists()


def test_names_that_a_terminal_could_obey_are_quoted(banger: Installation, repo: Repo) -> None:
    repo.write("\x1b]0;evil\x07", "x")
    repo.git("add", "-A")
    assert '"\\033]0;evil\\007"' in banger.ok("vm", "run", "--dry-run", str(repo.root)).splitlines()


@pytest.mark.requirement("CLI-021")
def test_untracked_files_that_stay_behind_are_told_of_in_one_line(banger: Installation, repo: Repo) -> None:
    done = banger.run("vm", "run", str(repo.root), "--", "true")
    notices = [line for line in done.stderr.splitlines() if "untracked" in line]
    assert notices == ["1 untracked file stays behind; --include-untracked copies untracked files too"]
    repo.write("more", "x")
    done = banger.run("vm", "run", str(repo.root), "--", "true")
    assert "2 untracked files stay behind; --include-untracked" in done.stderr


def test_nothing_is_said_where_nothing_stays_behind(banger: Installation, repo: Repo) -> None:
    assert "untracked" not in banger.run("vm", "run", "--include-untracked", str(repo.root), "--", "true").stderr
    (repo.root / "notes").unlink()
    assert "untracked" not in banger.run("vm", "run", str(repo.root), "--", "true").stderr


def test_a_path_outside_of_every_repository_is_refused_before_anything_starts(
    banger: Installation, tmp_path: Path
) -> None:
    for words in (["--dry-run", str(tmp_path)], [str(tmp_path), "--", "true"]):
        done = banger.run("vm", "run", *words)
        assert done.returncode == 1
        assert "is not inside a git repository" in done.stderr
        assert f"git -C {tmp_path} init" in done.stderr
    assert banger.daemon_pid() is None
