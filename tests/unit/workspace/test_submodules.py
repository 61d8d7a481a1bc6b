"""Submodules: refused as a rule; in a full copy each is a repository of its own, as it lies there."""

from pathlib import Path

import pytest

from banger.model.errors import ConflictError, SpecError
from tests.unit.workspace.repositories import Guest, Repo, make_repo, tree

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("WSP-007")]


@pytest.fixture
def outer(repo: Repo, tmp_path: Path) -> Repo:
    """A repository with a submodule, which has one too; and one that is not checked out."""
    innermost, inner, absent = (make_repo(tmp_path / name) for name in ("innermost", "inner", "absent"))
    for made in (innermost, inner, absent):
        made.write("file", f"{made.root.parent.name}\n")
        made.commit()
    inner.git("submodule", "add", "-q", str(innermost.root), "deep er")
    inner.commit("with a submodule")
    repo.git("submodule", "add", "-q", str(inner.root), "lib/inner")
    repo.git("submodule", "add", "-q", str(absent.root), "lib/absent")
    repo.git("submodule", "update", "-q", "--init", "--recursive", "lib/inner")
    repo.commit("with submodules")
    repo.git("submodule", "deinit", "-q", "-f", "lib/absent")
    return repo


async def test_without_a_full_copy_they_are_refused_and_named(outer: Repo) -> None:
    with pytest.raises(SpecError, match="has submodules") as caught:
        await outer.inspect()
    assert "lib/absent, lib/inner" in caught.value.message
    assert "--full-copy" in str(caught.value.hint)


@pytest.mark.requirement("CLI-040")
async def test_a_full_copy_takes_them_along_as_they_lie_there(outer: Repo, guest: Guest) -> None:
    inner = Repo(outer.root / "lib/inner", outer.home)
    inner.write("file", "changed\n")
    inner.write("secret.o", "untracked\n")
    (outer.root / "lib/inner/deep er/file").write_text("changed too\n")
    prepared = await guest.prepare(outer, full_copy=True)
    assert "lib/inner/deep er/file" in prepared.workspace.files
    there = guest.repo
    assert tree(there.root) == {path: one for path, one in tree(outer.root).items() if not path.endswith(".o")}
    for place in ("", "lib/inner", "lib/inner/deep er"):
        here = Repo(outer.root / place, outer.home)
        part = Repo(there.root / place, guest.folder / "home")
        assert part.git("rev-parse", "HEAD") == here.git("rev-parse", "HEAD")
        assert (part.root / ".git").is_dir()
        part.git("fsck", "--strict")
    assert there.git("status", "--porcelain") == " M lib/inner"
    assert Repo(there.root / "lib/inner", outer.home).git("status", "--porcelain") == ' M "deep er"\n M file'
    assert list((there.root / "lib/absent").iterdir()) == []


async def test_a_full_copy_is_sent_again_only_whole(outer: Repo, guest: Guest) -> None:
    await guest.prepare(outer, full_copy=True)
    with pytest.raises(ConflictError, match="with submodules"):
        await guest.prepare(outer, full_copy=True)
    await guest.prepare(outer, full_copy=True, is_replacing=True)
    assert guest.left() == ["repo", "repo.1"]
    assert tree(guest.repo.root) == tree(outer.root)


async def test_a_full_copy_of_a_repository_without_submodules_is_the_same(repo: Repo, guest: Guest) -> None:
    assert (await repo.inspect(full_copy=True)).digest == (await repo.inspect()).digest
    await guest.prepare(repo, full_copy=True)
    repo.write("README", "changed\n")
    assert (await guest.prepare(repo, full_copy=True)).how == "changes"


async def test_a_submodule_alone_travels_as_a_repository(outer: Repo, guest: Guest) -> None:
    inner = Repo(outer.root / "lib/inner", outer.home)
    with pytest.raises(SpecError, match="has submodules"):
        await inner.inspect()
    innermost = Repo(outer.root / "lib/inner/deep er", outer.home)
    await guest.prepare(innermost)
    assert tree(guest.repo.root) == tree(innermost.root)
