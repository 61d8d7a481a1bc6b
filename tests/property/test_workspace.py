"""Whatever is edited here and in the guest, in whatever order it is prepared, exported and merged: nothing is lost."""

import shutil
import tempfile
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.model.errors import ConflictError
from tests.unit.workspace.repositories import Guest, Repo, make_repo, tree

pytestmark = [pytest.mark.requirement("WSP-003"), pytest.mark.requirement("WSP-010")]
NAMES = ("a", "b", "dir/a", "dir/b", "dir/sub/c", "ü \n'", "run")
EXAMPLES = 12

Files = dict[str, tuple[str, bytes]]
edits = st.lists(
    st.tuples(
        st.sampled_from(["here", "there"]),
        st.sampled_from(["write", "program", "link", "remove", "commit"]),
        st.sampled_from(NAMES),
        st.integers(0, 3),
    ),
    max_size=8,
)


def edit(repo: Repo, what: str, name: str, number: int) -> None:
    """Do one thing to a checkout, if it can be done."""
    path = repo.root / name
    if what == "commit":
        repo.commit(f"commit {number}")
        return
    if any(parent.is_symlink() or parent.is_file() for parent in path.parents if parent != repo.root):
        return
    if path.is_dir() and not path.is_symlink():
        return
    path.unlink(missing_ok=True)
    if what == "link":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(f"target {number}")
    elif what != "remove":
        repo.write(name, f"{number}\n" * (number + 1), 0o755 if what == "program" else 0o644)


def take(repo: Repo, words: list[tuple[str, str, str, int]], side: str) -> None:
    for where, what, name, number in words:
        if where == side:
            edit(repo, what, name, number)


def files_of(repo: Repo, commit: str, folder: Path) -> Files:
    """The files of a commit, as a checkout of it has them."""
    shutil.rmtree(folder, ignore_errors=True)
    repo.git("worktree", "prune")
    repo.git("worktree", "add", "-q", "--detach", str(folder), commit)
    return tree(folder)


def is_possible(before: Files, here: Files, there: Files, now: Files) -> None:
    """After a prepare the guest has, of each path, what was changed on either side; where neither did, what was."""
    for path in {*before, *here, *there, *now}:
        old, ours, theirs = before.get(path), here.get(path), there.get(path)
        if theirs in (old, ours):
            assert now.get(path) == ours, path
        else:
            assert ours == old, f"{path!r} was changed on both sides, and yet it was prepared"
            assert now.get(path) == theirs, path


async def go_round(folder: Path, rounds: list[list[tuple[str, str, str, int]]]) -> None:
    repo, guest = make_repo(folder / "host"), Guest(folder / "guest")
    for name in NAMES[:4]:
        repo.write(name, "first\n")
    repo.commit("first")
    await guest.prepare(repo, include_untracked=True)
    guest.repo.git("config", "user.name", "Guest")
    guest.repo.git("config", "user.email", "guest@example.org")
    prepared = tree(repo.root)
    for words in rounds:
        take(repo, words, "here")
        take(guest.repo, words, "there")
        prepared = await prepare(repo, guest, prepared)
        await export(repo, guest, folder / "out")


async def prepare(repo: Repo, guest: Guest, before: Files) -> Files:
    """Prepare; return the files that the guest was given last."""
    here, there = tree(repo.root), tree(guest.repo.root)
    head = guest.repo.git("rev-parse", "HEAD")
    try:
        await guest.prepare(repo, include_untracked=True)
    except ConflictError:
        assert tree(guest.repo.root) == there
        assert guest.repo.git("rev-parse", "HEAD") == head
        return before
    is_possible(before, here, there, tree(guest.repo.root))
    guest.repo.git("merge-base", "--is-ancestor", head, "HEAD")
    assert tree(repo.root) == here
    guest.repo.git("fsck", "--strict", "--no-dangling")
    return here


async def export(repo: Repo, guest: Guest, out: Path) -> None:
    here, there = tree(repo.root), tree(guest.repo.root)
    refs = repo.git("for-each-ref")
    view = await guest.export(repo)
    assert (tree(repo.root), tree(guest.repo.root), repo.git("for-each-ref")) == (here, there, refs)
    if view.tip is None:
        return
    name = guest.branch(view)
    assert set(refs.splitlines()) < set(repo.git("for-each-ref").splitlines())
    assert files_of(repo, name, out) == there
    assert tree(repo.root) == here


@pytest.mark.parametrize("scale", [1, pytest.param(20, marks=pytest.mark.nightly)], ids=["short", "long"])
def test_nothing_is_lost_on_the_way_there_and_back(scale: int) -> None:
    @settings(
        max_examples=EXAMPLES * scale,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        database=None,
    )
    @given(st.lists(edits, min_size=1, max_size=2))
    def check(rounds: list[list[tuple[str, str, str, int]]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            anyio.run(go_round, Path(folder), rounds)

    check()
