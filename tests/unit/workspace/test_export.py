"""What was done in the guest comes back as a branch or a patch, beside what is here and never over it."""

from pathlib import Path

import pytest

from banger.model.errors import ConflictError, NotFoundError
from tests.unit.workspace.changes import odd_names
from tests.unit.workspace.repositories import Guest, Repo, make_repo, tree

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("WSP-010")]


def author(guest: Guest) -> None:
    guest.repo.git("config", "user.name", "Guest")
    guest.repo.git("config", "user.email", "guest@example.org")


async def test_commits_and_changes_come_back_as_a_branch_and_nothing_else_moves(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    author(guest)
    guest.repo.write("done", "committed\n")
    guest.repo.commit("done there")
    guest.repo.write("README", "not committed\n")
    guest.repo.write("new", "untracked\n")
    guest.repo.write("main.o", "ignored\n")
    there = guest.repo.git("status", "--porcelain")
    head, files = repo.git("rev-parse", "HEAD"), tree(repo.root)
    view = await guest.export(repo)
    assert [commit.subject for commit in view.commits] == ["Uncommitted changes in the VM", "done there"]
    assert [(file.status, file.path, file.added, file.removed) for file in view.files] == [
        ("M", "README", 1, 1),
        ("A", "done", 1, 0),
        ("A", "new", 1, 0),
    ]
    assert view.uncommitted
    assert view.descends
    assert repo.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert guest.branch(view) == "banger/box"
    assert (repo.git("rev-parse", "HEAD"), tree(repo.root)) == (head, files)
    assert repo.git("log", "--format=%s", "banger/box").split("\n")[-2:] == ["done there", "first"]
    assert repo.git("show", "banger/box:README") == "not committed"
    assert repo.git("show", "banger/box:new") == "untracked"
    repo.git("fsck", "--strict")
    assert guest.repo.git("status", "--porcelain") == there
    assert guest.repo.git("log", "-1", "--format=%s") == "done there"


async def test_the_patch_is_against_the_commit_that_was_prepared(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    author(guest)
    odd_names(guest.repo)
    (guest.repo.root / "link").unlink()
    (guest.repo.root / "run.sh").chmod(0o644)
    guest.repo.write("binary", bytes(range(256)) * 40)
    guest.repo.commit("committed work is not lost")
    view = await guest.export(repo)
    assert view.patch is not None
    repo.git("apply", "--index", view.patch)
    assert tree(repo.root) == tree(guest.repo.root)


async def test_nothing_done_is_nothing_brought(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    view = await guest.export(repo)
    assert (view.tip, view.files, view.patch) == (None, [], None)
    with pytest.raises(ConflictError, match="nothing was done"):
        guest.branch(view)


async def test_a_branch_that_is_there_is_never_overwritten(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    guest.repo.write("README", "there\n")
    view = await guest.export(repo)
    assert [guest.branch(view) for _ in range(3)] == ["banger/box", "banger/box-2", "banger/box-3"]
    repo.git("pack-refs", "--all")
    repo.git("branch", "loose")
    before = repo.git("for-each-ref")
    for name in ("main", "banger/box", "loose", "main/below", "loose/below", "banger"):
        with pytest.raises(ConflictError, match="there is a branch"):
            guest.branch(view, name)
    assert repo.git("for-each-ref") == before
    assert guest.branch(view, "a/new/one") == "a/new/one"
    repo.git("fsck", "--strict")


async def test_a_name_that_git_would_not_take_is_refused(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    guest.repo.write("README", "there\n")
    view = await guest.export(repo)
    for name in ("../../evil", "-x", "a..b", "a.lock", "", "HEAD", "a b"):
        with pytest.raises(Exception, match="cannot be the name of a branch"):
            guest.branch(view, name)


async def test_what_was_changed_before_it_was_prepared_is_part_of_it(repo: Repo, guest: Guest) -> None:
    repo.write("README", "changed here\n")
    await guest.prepare(repo)
    guest.repo.write("run.sh", "changed there\n")
    view = await guest.export(repo)
    assert [file.path for file in view.files] == ["README", "run.sh"]


async def test_other_branches_and_repositories_inside_are_told_of(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    await guest.prepare(repo)
    author(guest)
    guest.repo.git("checkout", "-q", "-b", "aside")
    guest.repo.write("aside", "x\n")
    guest.repo.commit("aside")
    guest.repo.git("checkout", "-q", "main")
    inner = make_repo(tmp_path / "inner")
    inner.commit()
    inner.root.rename(guest.repo.root / "inside")
    view = await guest.export(repo)
    assert view.others == ["aside"]
    assert view.left_behind == ["inside"]


async def test_a_repository_that_lost_the_commit_is_refused(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    await guest.prepare(repo)
    guest.repo.write("README", "there\n")
    other = make_repo(tmp_path / "other")
    other.commit("other")
    with pytest.raises(NotFoundError, match="does not have the commit"):
        await guest.export(other)


@pytest.mark.parametrize("init", [(), ("--object-format=sha256",)], ids=["sha1", "sha256"])
async def test_the_first_commit_may_be_the_guests(tmp_path: Path, guest: Guest, init: tuple[str, ...]) -> None:
    repo = make_repo(tmp_path / "host", *init)
    await guest.prepare(repo)
    assert (await guest.export(repo)).tip is None
    guest.repo.write("file", "there\n")
    view = await guest.export(repo)
    guest.branch(view, "theirs")
    assert repo.git("show", "theirs:file") == "there"


async def test_a_linked_worktree_gets_its_branch_too(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Repo(tmp_path / "side", repo.home)
    await guest.prepare(side)
    guest.repo.write("README", "there\n")
    guest.branch(await guest.export(side), "theirs")
    assert side.git("show", "theirs:README") == "there"


async def test_a_shallow_clone_takes_them_back(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    for number in range(3):
        repo.commit(f"commit {number}")
    repo.git("clone", "-q", "--depth=1", f"file://{repo.root}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow", repo.home)
    await guest.prepare(shallow)
    guest.repo.write("README", "there\n")
    guest.branch(await guest.export(shallow), "theirs")
    assert shallow.git("show", "theirs:README") == "there"
    shallow.git("fsck")


async def test_export_merge_and_prepare_go_round(repo: Repo, guest: Guest) -> None:
    await guest.prepare(repo)
    for number in range(3):
        guest.repo.write(f"there{number}", f"{number}\n")
        repo.write(f"here{number}", f"{number}\n")
        repo.commit(f"here {number}")
        name = guest.branch(await guest.export(repo))
        repo.git("merge", "-q", "--no-edit", name)
        guest.repo.git("add", "-A")
        await guest.prepare(repo)
        assert tree(guest.repo.root) == tree(repo.root)
        assert guest.repo.git("status", "--porcelain") == ""
