"""What inspection finds, refuses and says; and where it looks."""

import os
from pathlib import Path

import pytest

from banger.model.errors import ConflictError, NotFoundError, SpecError
from banger.workspace import scan
from banger.workspace.inspect import list_untracked
from banger.workspace.locate import locate
from tests.unit.workspace.changes import added, deleted, link_changed, modified
from tests.unit.workspace.repositories import Repo, make_repo

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("WSP-002")
async def test_a_path_inside_stands_for_the_whole_repository(repo: Repo) -> None:
    whole = await repo.inspect()
    for path in ("src", "src/main.c", "link"):
        assert (await repo.inspect(path)).digest == whole.digest
    assert whole.repository.root == repo.root.resolve()


async def test_a_repository_is_found_through_a_link_to_it(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(repo.root / "src")
    assert locate(tmp_path / "shortcut").repository.root == repo.root.resolve()


async def test_the_nearest_repository_counts(repo: Repo) -> None:
    inner = make_repo(repo.root / "vendor")
    inner.write("file", "inner\n")
    inner.commit()
    assert (await repo.inspect("vendor/repo")).repository.root == inner.root.resolve()


async def test_files_are_told_apart_by_their_bytes(repo: Repo) -> None:
    for change in (modified, added, deleted, link_changed):
        change(repo)
    (repo.root / "run.sh").touch()
    found = await repo.inspect()
    assert [file.path for file in found.overlay] == ["README", "link", "new/file"]
    assert found.deleted == ("src/main.c",)
    assert found.added == ("new/file",)
    assert found.unchanged == (".gitignore", "run.sh")
    assert found.checkout.files == 5
    assert found.checkout.overlay == 3


@pytest.mark.parametrize("size", [0, 1, scan.CHUNK_BYTES - 1, scan.CHUNK_BYTES, scan.CHUNK_BYTES + 1])
@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
async def test_object_ids_are_those_of_git(tmp_path: Path, size: int, object_format: str) -> None:
    repo = make_repo(tmp_path, f"--object-format={object_format}")
    repo.write("file", os.urandom(size))
    repo.git("add", "file")
    (file,) = (await repo.inspect()).overlay
    assert file.oid == repo.git("rev-parse", ":file")
    assert file.size == size


async def test_a_mode_is_believed_only_if_the_configuration_says_so(repo: Repo) -> None:
    repo.git("config", "core.fileMode", "false")
    (repo.root / "README").chmod(0o755)
    assert (await repo.inspect()).overlay == ()
    repo.git("config", "core.fileMode", "true")
    assert [file.mode for file in (await repo.inspect()).overlay] == [0o100755]


@pytest.mark.requirement("WSP-006")
async def test_a_bare_repository_is_refused(repo: Repo, tmp_path: Path) -> None:
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    for path in (tmp_path / "bare.git", tmp_path / "bare.git/refs/heads"):
        with pytest.raises(SpecError, match="is a bare repository: it has no files to work on") as caught:
            locate(path)
        assert caught.value.hint
    repo.git("config", "core.bare", "true")
    with pytest.raises(SpecError, match="marked as a bare repository"):
        await repo.inspect()


async def test_submodules_are_refused_and_one_of_them_is_not(repo: Repo, tmp_path: Path) -> None:
    library = make_repo(tmp_path / "library")
    library.write("lib.c", "int lib;\n")
    library.commit()
    repo.git("submodule", "--quiet", "add", str(library.root), "lib")
    with pytest.raises(SpecError, match=r"has submodules \(lib\)") as caught:
        await repo.inspect()
    assert caught.value.hint == f"banger vm workspace prepare --full-copy NAME {repo.root}"
    inside = await repo.inspect("lib")
    assert [*inside.unchanged] == ["lib.c"]


async def test_a_place_without_a_repository_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not inside a git repository"):
        locate(tmp_path)
    with pytest.raises(NotFoundError, match="No such file"):
        locate(tmp_path / "nowhere")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(NotFoundError):
        locate(tmp_path / "circle")


async def test_a_repository_of_another_user_is_refused(repo: Repo) -> None:
    with pytest.raises(SpecError, match="belongs to another user"):
        locate(repo.root, owner=os.getuid() + 1)


@pytest.mark.parametrize("name", ["", "-x", "a..b", "a b", "a.lock", "/a", "a/", ".a", "HEAD", "@", "a\nb", "x" * 201])
async def test_a_branch_that_git_would_not_have_is_refused(repo: Repo, name: str) -> None:
    with pytest.raises(SpecError, match="cannot be the name of a branch"):
        await repo.inspect(branch=name)


@pytest.mark.parametrize("ref", ["nowhere", "--all", "-x", "", "HEAD:README", "HEAD~99", "a\nb", "x" * 301])
async def test_a_beginning_that_is_no_commit_is_refused(repo: Repo, ref: str) -> None:
    with pytest.raises(NotFoundError, match="is not a commit"):
        await repo.inspect(branch="new", from_ref=ref)


async def test_a_branch_cannot_begin_elsewhere_while_nothing_is_committed(repo: Repo) -> None:
    repo.git("checkout", "-q", "--orphan", "fresh")
    with pytest.raises(SpecError, match="fresh has no commit"):
        await repo.inspect(branch="new", from_ref="main")


async def test_a_tag_a_branch_and_an_abbreviation_are_where_a_branch_can_begin(repo: Repo) -> None:
    first = repo.git("rev-parse", "HEAD")
    repo.git("tag", "-a", "-m", "one", "v1")
    repo.commit("second")
    for ref in ("v1", "main~1", first[:10], first):
        assert (await repo.inspect(branch="new", from_ref=ref)).base == first


async def test_untracked_files_are_listed_and_none_of_them_is_read(repo: Repo) -> None:
    repo.write("one", "x", mode=0)
    repo.write("two/three", "x")
    repo.write(".env", "x")
    os.mkfifo(repo.root / "four")
    assert await list_untracked(repo.root, environ={"HOME": str(repo.home)}) == ("one", "two/three")


async def test_a_file_that_grows_while_it_is_hashed_is_a_conflict(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.read

    def grow(descriptor: int, count: int) -> bytes:
        with (repo.root / "README").open("a") as file:
            file.write("more\n")
        return real(descriptor, count)

    monkeypatch.setattr(os, "read", grow)
    with pytest.raises(ConflictError, match="changed while it was read") as caught:
        await repo.inspect()
    assert caught.value.hint == "run the command again"


async def test_an_author_needs_a_name_and_an_address(repo: Repo) -> None:
    assert (await repo.inspect()).author is None
    repo.git("config", "--global", "user.name", "Ada")
    assert (await repo.inspect()).author is None
    repo.git("config", "user.email", "ada@example.org")
    author = (await repo.inspect()).author
    assert author
    assert (author.name, author.email) == ("Ada", "ada@example.org")
