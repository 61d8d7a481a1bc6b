"""What arrives in the guest: the same files, the same history, and a `git status` that shows only what is carried."""

from collections.abc import Callable
from pathlib import Path

import pytest

from banger.model.errors import ConflictError, GuestError
from banger.workspace.values import Workspace
from tests.unit.workspace.changes import CHANGES, added, deleted, link_changed, modified, odd_names, renamed
from tests.unit.workspace.repositories import Guest, Repo, make_repo, tree

pytestmark = pytest.mark.anyio
SECRET = "hunter2-canary"


@pytest.mark.requirement("WSP-003")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_the_guest_has_the_same_files_and_git_shows_what_was_carried(
    repo: Repo, guest: Guest, tmp_path: Path, change: Callable[[Repo], None]
) -> None:
    change(repo)
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert tree(guest.repo.root) == tree(repo.root)
    assert guest.repo.git("status", "--porcelain") == CHANGES[change]
    assert guest.repo.git("rev-parse", "HEAD") == repo.git("rev-parse", "HEAD")
    assert guest.repo.git("symbolic-ref", "HEAD") == "refs/heads/main"
    guest.repo.git("fsck", "--strict", "--no-dangling")
    assert guest.left() == ["repo"]


async def test_names_of_any_bytes_arrive_as_they_are(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    odd_names(repo)
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert tree(guest.repo.root) == tree(repo.root)
    assert guest.repo.git("status", "--porcelain", "-z") == repo.git("status", "--porcelain", "-z")
    repo.commit()
    again = Guest(guest.folder / "again")
    await again.sync(await repo.inspect(), tmp_path / "scratch")
    assert tree(again.repo.root) == tree(repo.root)
    assert again.repo.git("status", "--porcelain") == ""


@pytest.mark.requirement("WSP-004", "SEC-003", "TST-006")
@pytest.mark.parametrize("include_untracked", [False, True])
async def test_ignored_files_never_travel_and_untracked_ones_only_if_asked_for(
    repo: Repo, guest: Guest, tmp_path: Path, *, include_untracked: bool
) -> None:
    repo.write(".env", SECRET)
    repo.write("deep/.env", SECRET)
    repo.write("main.o", SECRET)
    (repo.home / ".config/git").mkdir(parents=True)
    (repo.home / ".config/git/ignore").write_text("*.swp\n")
    repo.write("x.swp", SECRET)
    repo.write(".git/info/exclude", "private\n")
    repo.write("private/key", SECRET)
    repo.write("notes", "to do\n")
    repo.write("more/notes", "to do\n")
    found = await repo.inspect(include_untracked=include_untracked)
    await guest.sync(found, tmp_path / "scratch")
    arrived = tree(guest.repo.root)
    assert {"notes", "more/notes"} & set(arrived) == ({"notes", "more/notes"} if include_untracked else set())
    assert found.untracked == ("more/notes", "notes")
    assert guest.repo.git("status", "--porcelain") == ("?? more/\n?? notes" if include_untracked else "")
    assert SECRET.encode() not in guest.received
    assert not any(".env" in path or path.endswith((".o", ".swp", "key")) for path in (*arrived, *found.files))


@pytest.mark.parametrize("include_untracked", [False, True])
async def test_the_list_of_a_dry_run_is_what_a_real_run_ships(
    repo: Repo, guest: Guest, tmp_path: Path, *, include_untracked: bool
) -> None:
    for change in (renamed, added, deleted, link_changed):
        change(repo)
    repo.write("untracked", "x")
    found = await repo.inspect(include_untracked=include_untracked)
    await guest.sync(found, tmp_path / "scratch")
    assert list(found.files) == sorted(tree(guest.repo.root))


async def test_a_tracked_file_that_is_ignored_too_travels(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    repo.write("wanted.o", "in history")
    repo.git("add", "-f", "wanted.o")
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert guest.repo.git("status", "--porcelain") == "A  wanted.o"


async def test_a_nested_repository_stays_behind(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    make_repo(repo.root / "nested").write("secret", SECRET)
    (repo.root / "nested/home").rmdir()
    inner = make_repo(repo.root / "vendored")
    inner.write("secret", SECRET)
    inner.commit()
    found = await repo.inspect(include_untracked=True)
    await guest.sync(found, tmp_path / "scratch")
    assert found.nested == ("nested/repo/", "vendored/repo/")
    assert SECRET.encode() not in guest.received


async def test_history_is_that_of_head_alone(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    repo.git("checkout", "-q", "-b", "private")
    repo.write("secret", SECRET)
    private = repo.commit()
    repo.git("checkout", "-q", "main")
    repo.commit("second")
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert guest.repo.git("log", "--format=%s", "--all") == "second\nfirst"
    with pytest.raises(AssertionError):
        guest.repo.git("cat-file", "-e", private)


@pytest.mark.requirement("CLI-009")
async def test_a_new_branch_begins_where_it_was_told_to(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    first = repo.git("rev-parse", "HEAD")
    repo.write("README", "second\n")
    second = repo.commit("second")
    repo.write("README", "third\n")
    await guest.sync(await repo.inspect(branch="try/it", from_ref="HEAD~1"), tmp_path / "scratch")
    assert guest.repo.git("symbolic-ref", "HEAD") == "refs/heads/try/it"
    assert guest.repo.git("rev-parse", "HEAD", "main") == f"{first}\n{second}"
    assert guest.repo.git("status", "--porcelain") == " M README"
    assert tree(guest.repo.root) == tree(repo.root)
    assert repo.git("branch", "--list") == "* main"


async def test_a_branch_of_the_same_name_elsewhere_keeps_head_as_well(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    first = repo.git("rev-parse", "HEAD")
    second = repo.commit("second")
    await guest.sync(await repo.inspect(branch="main", from_ref=first), tmp_path / "scratch")
    assert guest.repo.git("rev-parse", "main", "refs/banger/head") == f"{first}\n{second}"


async def test_a_detached_head_is_detached(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    repo.git("checkout", "-q", "--detach")
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert guest.repo.git("rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    assert (
        guest.repo.git("branch", "--list", "--format=%(refname)")
        == "(HEAD detached at " + repo.git("rev-parse", "--short", "HEAD") + ")"
        or guest.repo.git("for-each-ref") == ""
    )
    assert guest.repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("init", [(), ("--object-format=sha256",)], ids=["sha1", "sha256"])
async def test_a_repository_without_commits_arrives_with_what_was_added(
    tmp_path: Path, guest: Guest, init: tuple[str, ...]
) -> None:
    repo = make_repo(tmp_path / "host", *init)
    repo.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    repo.write("added", "a\n")
    repo.git("add", "added")
    repo.write("untracked", "u\n")
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert guest.repo.git("status", "--porcelain", "-b") == "## No commits yet on trunk\nA  added"
    await Guest(tmp_path / "other").sync(await make_repo(tmp_path / "empty").inspect(), tmp_path / "scratch")


async def test_a_sha256_repository_stays_one(tmp_path: Path, guest: Guest) -> None:
    repo = make_repo(tmp_path / "host", "--object-format=sha256")
    repo.write("file", "one\n")
    repo.write("same", "same\n")
    repo.commit()
    repo.write("file", "two\n")
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert guest.repo.git("rev-parse", "HEAD") == repo.git("rev-parse", "HEAD")
    assert guest.repo.git("status", "--porcelain") == " M file"


async def test_a_shallow_clone_stays_shallow_and_usable(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    for number in range(5):
        repo.commit(f"commit {number}")
    repo.git("clone", "-q", "--depth=2", f"file://{repo.root}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow", repo.home)
    await guest.sync(await shallow.inspect(), tmp_path / "scratch")
    assert guest.repo.git("log", "--format=%s") == "commit 4\ncommit 3"
    assert guest.repo.git("rev-parse", "--is-shallow-repository") == "true"
    guest.repo.git("fsck")
    guest.repo.git("gc", "-q")


async def test_a_linked_worktree_arrives_as_a_repository_of_its_own(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Repo(tmp_path / "side", repo.home)
    side.write("README", "side\n")
    await guest.sync(await side.inspect(), tmp_path / "scratch")
    assert (guest.repo.root / ".git").is_dir()
    assert guest.repo.git("symbolic-ref", "--short", "HEAD") == "side"
    assert guest.repo.git("status", "--porcelain") == " M README"


async def test_sparse_files_arrive_in_full(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    repo.git("sparse-checkout", "set", "--no-cone", "/README")
    assert not (repo.root / "src").exists()
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert guest.repo.git("status", "--porcelain") == ""
    assert (guest.repo.root / "src/main.c").read_text() == "int main;\n"


@pytest.mark.parametrize("instead", ["src", "src/main.c/deeper"])
async def test_a_file_in_the_place_of_a_sparse_one_replaces_it(
    repo: Repo, guest: Guest, tmp_path: Path, instead: str
) -> None:
    repo.git("sparse-checkout", "set", "--no-cone", "/README")
    repo.write(instead, "in the way\n")
    await guest.sync(await repo.inspect(include_untracked=True), tmp_path / "scratch")
    assert (guest.repo.root / instead).read_text() == "in the way\n"
    assert "src/main.c" not in tree(guest.repo.root)


@pytest.mark.requirement("WSP-011")
async def test_identity_and_origin_are_there_and_no_secret_of_theirs(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    repo.git("config", "--global", "user.name", "Grace  H. O'Ñ")
    repo.git("config", "--global", "user.email", "grace@example.org")
    repo.git("config", "user.email", "work@example.org")
    repo.git("remote", "add", "origin", f"https://user:{SECRET}@example.org/a.git?token={SECRET}")
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert guest.repo.git("config", "user.name") == "Grace  H. O'Ñ"
    assert guest.repo.git("config", "user.email") == "work@example.org"
    assert guest.repo.git("remote", "get-url", "origin") == "https://example.org/a.git"
    assert SECRET.encode() not in guest.received
    guest.repo.git("commit", "-q", "--allow-empty", "-m", "in the guest")


@pytest.mark.parametrize("link", ["/etc", "../../.."])
async def test_a_link_travels_as_a_link(repo: Repo, guest: Guest, tmp_path: Path, link: str) -> None:
    (repo.root / "out").symlink_to(link)
    repo.git("add", "out")
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert str((guest.repo.root / "out").readlink()) == link


def rewrite(path: Path) -> None:
    path.write_text("CHANGED\n")


def lengthen(path: Path) -> None:
    path.write_text("changed and longer\n")


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("how", [rewrite, lengthen, replace_by_link, Path.unlink], ids=lambda how: how.__name__)
async def test_a_file_that_changes_meanwhile_is_an_error_and_nothing_arrives(
    repo: Repo, guest: Guest, tmp_path: Path, how: Callable[[Path], None]
) -> None:
    repo.write("README", "changed\n")
    found = await repo.inspect()
    how(repo.root / "README")
    with pytest.raises(ConflictError, match="README changed while it was read"):
        await guest.sync(found, tmp_path / "scratch")
    assert guest.left() == []


async def test_a_commit_meanwhile_is_an_error(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    found = await repo.inspect()
    repo.commit("quick")
    with pytest.raises(ConflictError, match="another commit was checked out meanwhile"):
        await guest.sync(found, tmp_path / "scratch")


async def stream_of(workspace: Workspace, folder: Path) -> Guest:
    whole = Guest(folder / "whole")
    await whole.sync(workspace, folder / "scratch")
    return whole


async def test_a_stream_that_breaks_off_anywhere_leaves_nothing(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    repo.write("README", "changed\n" * 200)
    found = await repo.inspect()
    length = len((await stream_of(found, tmp_path)).received)
    script_begins = length - 1024 - 512  # the last file's last block, and the end of the archive
    for cut in [0, 1, 512, 700, *range(1024, script_begins, 1024)]:
        broken = Guest(guest.folder, cut_bytes=cut)
        with pytest.raises(GuestError):
            await broken.sync(found, tmp_path / "scratch")
        assert broken.left() == []


async def test_what_was_sent_before_is_left_alone_with_its_edits(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    found = await repo.inspect()
    await guest.sync(found, tmp_path / "scratch")
    guest.repo.write("README", "edited in the guest\n")
    await guest.sync(found, tmp_path / "scratch")
    assert (guest.repo.root / "README").read_text() == "edited in the guest\n"
    assert guest.left() == ["repo"]


async def test_something_else_in_the_place_is_not_touched(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    guest.repo.write("mine", "mine\n")
    with pytest.raises(GuestError, match="not empty"):
        await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert tree(guest.repo.root) == {"mine": ("file", b"mine\n")}
    assert guest.left() == ["repo"]


async def test_an_empty_directory_and_the_rest_of_an_earlier_try_are_no_obstacle(
    repo: Repo, guest: Guest, tmp_path: Path
) -> None:
    guest.repo.root.mkdir(parents=True)
    (guest.folder / "root/.repo.incoming/repo").mkdir(parents=True)
    await guest.sync(await repo.inspect(), tmp_path / "scratch")
    assert tree(guest.repo.root) == tree(repo.root)
    assert guest.left() == ["repo"]


async def test_the_repository_of_the_user_is_not_changed(repo: Repo, guest: Guest, tmp_path: Path) -> None:
    modified(repo)
    before = {path: path.lstat().st_mtime_ns for path in sorted(repo.root.rglob("*"))}
    await guest.sync(await repo.inspect(include_untracked=True), tmp_path / "scratch")
    assert {path: path.lstat().st_mtime_ns for path in sorted(repo.root.rglob("*"))} == before


async def test_the_digest_follows_what_is_sent_and_nothing_else(repo: Repo, tmp_path: Path) -> None:
    digest = (await repo.inspect()).digest
    (repo.root / "README").touch()
    repo.write("untracked", "x")
    repo.git("gc", "-q")
    assert (await repo.inspect()).digest == digest
    moved = Repo(repo.root.rename(tmp_path / "moved"), repo.home)
    assert (await moved.inspect()).digest == digest
    moved.write("README", "other\n")
    assert (await moved.inspect()).digest != digest
