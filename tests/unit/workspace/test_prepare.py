"""Preparing again: what changed here arrives, what changed there stays, and where both did nothing is touched."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.model.errors import ConflictError, GuestError, SpecError
from banger.workspace.beneath import Tree
from banger.workspace.record import load_record, save_record
from tests.unit.workspace.changes import CHANGES, assumed_unchanged, odd_names
from tests.unit.workspace.repositories import Guest, Repo, make_repo, tree

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("WSP-003")]

LASTING = [change for change in (*CHANGES, odd_names) if change is not assumed_unchanged]


@pytest.mark.parametrize("change", [*CHANGES, odd_names], ids=lambda change: change.__name__)
async def test_what_changed_here_arrives(repo: Repo, guest: Guest, change: Callable[[Repo], None]) -> None:
    await guest.prepare(repo)
    change(repo)
    await guest.prepare(repo)
    assert tree(guest.repo.root) == tree(repo.root)
    if change in CHANGES:
        assert guest.repo.git("status", "--porcelain") == CHANGES[change]
    assert guest.repo.git("rev-parse", "HEAD") == repo.git("rev-parse", "HEAD")
    guest.repo.git("fsck", "--strict", "--no-dangling")
    assert guest.left() == ["repo"]


@pytest.mark.parametrize("change", LASTING, ids=lambda change: change.__name__)
async def test_what_was_changed_and_is_committed_or_undone_arrives(
    repo: Repo, guest: Guest, change: Callable[[Repo], None]
) -> None:
    change(repo)
    await guest.prepare(repo)
    repo.commit("all of it")
    await guest.prepare(repo)
    assert tree(guest.repo.root) == tree(repo.root)
    assert guest.repo.git("status", "--porcelain") == ""
    repo.git("reset", "-q", "--hard", "HEAD~1")
    await guest.prepare(repo, is_replacing=True)
    await guest.prepare(repo)
    assert tree(guest.repo.root) == tree(repo.root)
    assert guest.repo.git("rev-parse", "HEAD") == repo.git("rev-parse", "HEAD")


async def test_one_changed_file_is_sent_alone_and_by_one_program(repo: Repo, guest: Guest) -> None:
    repo.write("large", os.urandom(500_000))
    repo.commit()
    await guest.prepare(repo)
    repo.write("README", "one line\n")
    prepared = await guest.prepare(repo)
    assert (prepared.how, prepared.changed) == ("changes", 1)
    assert len(guest.received) < 2000
    assert guest.ran == [[f"{guest.repo.root}/.git/banger/place", str(guest.repo.root)]]
    assert (await guest.prepare(repo)).how == "nothing"


async def test_a_commit_sends_what_it_adds_and_not_the_history(repo: Repo, guest: Guest) -> None:
    repo.write("large", os.urandom(500_000))
    repo.commit()
    await guest.prepare(repo)
    repo.write("README", "one line\n")
    repo.commit("second")
    await guest.prepare(repo)
    assert len(guest.received) < 100_000
    assert guest.repo.git("log", "-1", "--format=%s") == "second"
    assert guest.repo.git("status", "--porcelain") == ""


async def test_what_was_made_in_the_guest_stays(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    guest.repo.write("build/main.o", "built\n")
    guest.repo.write("src/notes", "mine\n")
    guest.repo.write("run.sh", "edited there\n")
    repo.write("README", "edited here\n")
    repo.commit()
    await guest.prepare(repo)
    found = tree(guest.repo.root)
    assert found["build/main.o"] == ("file", b"built\n")
    assert found["src/notes"] == ("file", b"mine\n")
    assert found["run.sh"][1] == b"edited there\n"
    assert found["README"][1] == b"edited here\n"


@pytest.mark.parametrize("name", ["README", "new", "link", "src/main.c"])
async def test_where_both_changed_nothing_is_touched_and_the_name_is_told(repo: Repo, guest: Guest, name: str) -> None:
    await guest.prepare(repo)
    for side, text in ((repo, "here\n"), (guest.repo, "there\n")):
        (side.root / name).unlink(missing_ok=True)
        side.write(name, text)
    repo.write("run.sh", "here too\n")
    before = tree(guest.repo.root)
    with pytest.raises(ConflictError, match=f"both here and in the VM changed: {name};"):
        await guest.prepare(repo, include_untracked=True)
    assert tree(guest.repo.root) == before
    repo.write(name, "there\n")
    await guest.prepare(repo, include_untracked=True)
    assert (guest.repo.root / "run.sh").read_text() == "here too\n"


async def test_a_directory_with_something_of_the_guests_is_not_replaced(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    guest.repo.write("src/mine", "mine\n")
    (repo.root / "src/main.c").unlink()
    (repo.root / "src").rmdir()
    repo.write("src", "a file now\n")
    repo.git("add", "-A")
    with pytest.raises(ConflictError, match="src"):
        await guest.prepare(repo)
    assert (guest.repo.root / "src/mine").read_text() == "mine\n"
    assert (guest.repo.root / "src/main.c").exists()


async def test_a_link_of_the_guests_is_not_followed(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    await guest.prepare(repo)
    (guest.repo.root / "src").rename(tmp_path / "elsewhere")
    (guest.repo.root / "src").symlink_to(tmp_path / "elsewhere")
    repo.write("src/main.c", "changed\n")
    with pytest.raises(ConflictError, match=r"src/main\.c"):
        await guest.prepare(repo)
    assert (tmp_path / "elsewhere/main.c").read_text() == "int main;\n"


async def test_commits_of_the_guests_are_kept_until_they_are_part_of_what_is_here(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    guest.repo.git("config", "user.name", "Guest")
    guest.repo.git("config", "user.email", "guest@example.org")
    guest.repo.write("there", "there\n")
    theirs = guest.repo.commit("there")
    repo.write("here", "here\n")
    repo.commit("here")
    before = tree(guest.repo.root)
    with pytest.raises(ConflictError, match="commits of its own"):
        await guest.prepare(repo)
    assert tree(guest.repo.root) == before
    assert guest.repo.git("rev-parse", "HEAD") == theirs
    repo.git("pull", "-q", "--no-rebase", "--no-edit", str(guest.repo.root), "main")
    await guest.prepare(repo)
    assert guest.repo.git("rev-parse", "HEAD") == repo.git("rev-parse", "HEAD")
    assert tree(guest.repo.root) == tree(repo.root)
    assert guest.repo.git("status", "--porcelain") == ""


async def test_another_branch_here_is_another_branch_there(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    repo.git("checkout", "-q", "-b", "topic")
    repo.write("README", "topic\n")
    repo.commit("topic")
    await guest.prepare(repo)
    assert guest.repo.git("symbolic-ref", "HEAD") == "refs/heads/topic"
    repo.git("checkout", "-q", "--detach", "main")
    await guest.prepare(repo)
    assert guest.repo.git("rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    assert tree(guest.repo.root) == tree(repo.root)
    assert guest.repo.git("status", "--porcelain") == ""


async def test_a_history_that_was_rewritten_or_lost_there_arrives_whole(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    repo.git("commit", "-q", "--amend", "-m", "other words")
    await guest.prepare(repo)
    assert guest.repo.git("log", "--format=%s") == "other words"
    guest.repo.git("checkout", "-q", "--orphan", "empty")
    guest.repo.git("rm", "-rfq", "--cached", ".")
    repo.commit("again")
    with pytest.raises(ConflictError):
        await guest.prepare(repo)


async def test_a_checkout_that_was_removed_is_sent_whole(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    await guest.prepare(repo)
    guest.repo.root.rename(tmp_path / "gone")
    assert (await guest.prepare(repo)).how == "whole"
    assert tree(guest.repo.root) == tree(repo.root)


async def test_replace_puts_aside_what_is_there(repo: Repo, guest: Guest) -> None:
    guest.repo.write("mine", "mine\n")
    with pytest.raises(GuestError, match="not empty"):
        await guest.prepare(repo)
    await guest.prepare(repo, is_replacing=True)
    assert guest.left() == ["repo", "repo.1"]
    await guest.prepare(repo, is_replacing=True)
    assert guest.left() == ["repo", "repo.1", "repo.2"]
    assert (guest.folder / "root/repo.1/mine").read_text() == "mine\n"


async def test_another_repository_is_refused(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    await guest.prepare(repo)
    other = make_repo(tmp_path / "other")
    other.write("other", "other\n")
    other.commit("other")
    with pytest.raises(ConflictError):
        await guest.prepare(other)
    assert tree(guest.repo.root) == tree(repo.root)


async def test_an_answer_that_was_lost_is_made_up_for(repo: Repo, guest: Guest) -> None:
    """The guest has got it, but we were killed before we could write that down; or it was killed in the midst."""
    await guest.prepare(repo)
    directory = guest.folder / "vm"
    before = load_record(directory)
    repo.write("README", "second\n")
    repo.write("run.sh", "second\n")
    await guest.prepare(repo)
    after = load_record(directory)
    assert before is not None
    assert after is not None
    save_record(directory, type(before)(before.request, before.current, after.current))
    guest.repo.write("run.sh", "#!/bin/sh\n", 0o755)
    repo.write("README", "third\n")
    await guest.prepare(repo)
    assert tree(guest.repo.root) == tree(repo.root)


async def test_a_stream_that_breaks_off_changes_nothing(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    repo.write("README", "changed\n" * 100)
    (repo.root / "run.sh").unlink()
    before = tree(guest.repo.root)
    for cut in range(0, 900, 60):
        guest.cut_bytes = cut
        with pytest.raises(GuestError):
            await guest.prepare(repo)
        assert tree(guest.repo.root) == before
    guest.cut_bytes = None
    await guest.prepare(repo)
    assert tree(guest.repo.root) == tree(repo.root)


async def test_a_file_is_read_again_only_if_it_was_written(
    repo: Repo, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from banger.workspace import scan, stamps

    monkeypatch.setattr(stamps, "_COARSEST_NS", -10_000_000_000)
    read: list[str] = []
    hash_file = scan._hash_file

    def note(descriptor: int, size: int, tree_: Tree, path: str, object_format: str) -> str:
        read.append(path)
        return hash_file(descriptor, size, tree_, path, object_format)

    monkeypatch.setattr(scan, "_hash_file", note)
    await guest.prepare(repo)
    assert sorted(read) == [".gitignore", "README", "run.sh", "src/main.c"]
    read.clear()
    repo.write("README", "HELLO\n")
    os.utime(repo.root / "README", (0, 0))
    await guest.prepare(repo)
    assert read == ["README"]


async def test_a_file_that_was_just_written_is_not_believed_to_stay(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    status = (repo.root / "README").stat()
    repo.write("README", "HELLO\n")
    os.utime(repo.root / "README", ns=(status.st_atime_ns, status.st_mtime_ns))
    await guest.prepare(repo)
    assert (guest.repo.root / "README").read_text() == "HELLO\n"


async def test_a_sha256_repository_is_brought_up_to_date(tmp_path: Path, guest: Guest) -> None:
    repo = make_repo(tmp_path / "host", "--object-format=sha256")
    repo.write("file", "one\n")
    repo.commit()
    await guest.prepare(repo)
    repo.write("file", "two\n" * 1000)
    await guest.prepare(repo)
    guest.repo.write("file", "there\n")
    repo.write("file", "three\n")
    with pytest.raises(ConflictError, match="file"):
        await guest.prepare(repo)


@pytest.mark.parametrize("init", [(), ("--object-format=sha256",)], ids=["sha1", "sha256"])
async def test_a_repository_gets_its_first_commit(tmp_path: Path, guest: Guest, init: tuple[str, ...]) -> None:
    repo = make_repo(tmp_path / "host", *init)
    repo.write("added", "a\n")
    repo.git("add", "added")
    await guest.prepare(repo)
    repo.write("added", "b\n")
    repo.commit("first")
    await guest.prepare(repo)
    assert guest.repo.git("log", "--format=%s") == "first"
    assert guest.repo.git("status", "--porcelain") == ""
    assert tree(guest.repo.root) == tree(repo.root)


async def test_a_shallow_clone_is_brought_up_to_date_and_stays_one(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    for number in range(3):
        repo.commit(f"commit {number}")
    repo.git("clone", "-q", "--depth=2", f"file://{repo.root}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow", repo.home)
    await guest.prepare(shallow)
    for number in range(3, 6):
        repo.write("README", f"{number}\n")
        repo.commit(f"commit {number}")
    shallow.git("fetch", "-q", "--depth=1")
    shallow.git("reset", "-q", "--hard", "origin/main")
    await guest.prepare(shallow)
    assert guest.repo.git("rev-parse", "HEAD") == repo.git("rev-parse", "HEAD")
    assert guest.repo.git("rev-parse", "--is-shallow-repository") == "true"
    assert guest.repo.git("status", "--porcelain") == ""
    guest.repo.git("fsck")


async def test_a_linked_worktree_is_brought_up_to_date(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Repo(tmp_path / "side", repo.home)
    await guest.prepare(side)
    side.write("README", "side\n")
    side.commit("side")
    await guest.prepare(side)
    assert tree(guest.repo.root) == tree(side.root)
    assert guest.repo.git("log", "-1", "--format=%s%d") == "side (HEAD -> side)"


async def test_what_is_not_checked_out_here_is_said_not_to_be(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    repo.write("src/main.c", "second\n")
    repo.commit("second")
    repo.git("sparse-checkout", "set", "--no-cone", "/README")
    with pytest.raises(SpecError, match=r"'src/main\.c' is not checked out here"):
        await guest.prepare(repo)
    assert (guest.repo.root / "src/main.c").read_text() == "int main;\n"


async def test_a_branch_of_the_guests_own_moves_with_what_it_was_made_from(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo, branch="trial")
    repo.write("README", "second\n")
    head = repo.commit("second")
    await guest.prepare(repo, branch="trial")
    assert guest.repo.git("symbolic-ref", "--short", "HEAD") == "trial"
    assert guest.repo.git("rev-parse", "HEAD") == head
    assert repo.git("branch", "--list", "trial") == ""
