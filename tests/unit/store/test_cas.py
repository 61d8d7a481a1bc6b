"""Objects get in by the whole write protocol, out without needless copies, and are trusted no further than seen."""

import os
from pathlib import Path

import pytest

from banger.host import sparse as host_sparse
from banger.model.digest import Digest, digest_of_bytes
from banger.model.errors import DamagedError, MissingError, StoreError
from banger.store import cas as cas_module
from banger.store import objects
from banger.store.cas import Cas
from banger.store.database import Database
from banger.store.objects import SMALL_BYTES

PROTOCOL = [
    "create",
    "write",
    "sync",
    "read-back",
    "seal",
    "mkdir",
    "sync-directory",
    "link",
    "unlink",
    "sync-directory",
]
BIG = b"head" + bytes(3 * SMALL_BYTES) + b"tail"


@pytest.fixture
def steps() -> list[str]:
    return []


@pytest.fixture
def cas(tmp_path: Path, steps: list[str]) -> Cas:
    cas = Cas(tmp_path / "cas", Database(tmp_path / "banger.db", steps.append), steps.append)
    steps.clear()
    return cas


def sparse(path: Path) -> Path:
    with path.open("wb") as file:
        file.write(b"head")
        file.seek(3 * SMALL_BYTES, os.SEEK_CUR)
        file.write(b"tail")
    return path


def rewrite(cas: Cas, digest: Digest, data: bytes) -> None:
    cas.place(digest).chmod(0o600)
    cas.place(digest).write_bytes(data)


def test_the_stamp_comes_after_every_step_of_the_protocol(cas: Cas, steps: list[str]) -> None:
    cas.put_bytes(b"hello")
    assert steps == [*PROTOCOL, "commit stamp", "committed stamp"]


def test_storing_the_same_again_writes_nothing(cas: Cas, steps: list[str]) -> None:
    cas.put_bytes(b"hello")
    steps.clear()
    cas.put_bytes(b"hello")
    assert steps == []


def test_an_object_that_a_crash_left_unsynced_is_synced_before_it_is_relied_upon(cas: Cas, steps: list[str]) -> None:
    digest = cas.put_bytes(b"hello")
    cas.stamps.drop(digest)  # as if the process had died between the link and the stamp
    steps.clear()
    cas.put_bytes(b"hello")
    assert steps.count("sync") == 2, "both the new file and the present one"
    assert steps[-3:] == ["sync-directory", "commit stamp", "committed stamp"]


def test_content_that_is_not_what_was_expected_is_refused_and_gone(cas: Cas, tmp_path: Path) -> None:
    file = sparse(tmp_path / "file")
    with pytest.raises(StoreError, match="not to sha256:"):
        cas.adopt(file, expected=digest_of_bytes(b"something else"))
    assert not file.exists()
    assert cas.all() == []


def test_a_big_sparse_file_is_adopted_where_it_lies_and_keeps_its_holes(cas: Cas, tmp_path: Path) -> None:
    file = sparse(tmp_path / "file")
    inode = file.stat().st_ino
    digest = cas.adopt(file)
    assert digest == digest_of_bytes(BIG)
    status = cas.status(digest)
    assert status.st_ino == inode
    assert status.st_blocks * 512 < SMALL_BYTES
    assert not file.exists()


def test_a_file_that_has_another_name_is_copied_so_that_nobody_can_write_to_the_object(
    cas: Cas, tmp_path: Path
) -> None:
    file = sparse(tmp_path / "file")
    os.link(file, tmp_path / "other")
    digest = cas.adopt(file)
    with (tmp_path / "other").open("r+b") as other:
        other.write(b"HEAD")
    assert cas.read(digest) == BIG
    assert not file.exists()


@pytest.mark.parametrize("what", ["directory", "symlink", "fifo"])
def test_only_a_file_is_adopted(cas: Cas, tmp_path: Path, what: str) -> None:
    path = tmp_path / "thing"
    match what:
        case "directory":
            path.mkdir()
        case "symlink":
            path.symlink_to("/etc/passwd")
        case _:
            os.mkfifo(path)
    with pytest.raises(Exception, match=r"is not a file|symbolic links"):
        cas.adopt(path)
    assert os.path.lexists(path)


@pytest.mark.parametrize("writable", [True, False])
def test_an_object_appears_at_a_path_with_its_holes(cas: Cas, tmp_path: Path, *, writable: bool) -> None:
    digest = cas.adopt(sparse(tmp_path / "file"))
    dest = tmp_path / "dest"
    cas.materialize(digest, dest, writable=writable)
    assert dest.read_bytes() == BIG
    assert dest.stat().st_blocks * 512 < SMALL_BYTES
    assert dest.stat().st_mode & 0o777 == (0o600 if writable else 0o444)
    if writable:
        with dest.open("r+b") as file:
            file.write(b"HEAD")
    assert cas.read(digest) == BIG
    with pytest.raises(Exception, match="exists"):
        cas.materialize(digest, dest, writable=writable)


def test_what_is_only_read_shares_the_object_where_blocks_cannot_be_shared(
    cas: Cas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_sparse, "reflink", lambda _source, _target: False)
    digest = cas.adopt(sparse(tmp_path / "file"))
    cas.materialize(digest, tmp_path / "dest", writable=False)
    assert (tmp_path / "dest").stat().st_ino == cas.status(digest).st_ino
    assert cas.is_verified(digest), "the new name made it look changed"


def test_a_damaged_object_is_not_materialized(cas: Cas, tmp_path: Path) -> None:
    digest = cas.put_bytes(b"hello")
    rewrite(cas, digest, b"jello")
    with pytest.raises(DamagedError):
        cas.materialize(digest, tmp_path / "dest", writable=True)
    assert not (tmp_path / "dest").exists()


def test_a_big_object_is_read_once_a_boot_and_again_when_its_stamp_differs(
    cas: Cas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = cas.adopt(sparse(tmp_path / "file"))
    reads: list[Digest] = []
    verify = objects.verify_object

    def counted(fd: int, wanted: Digest) -> os.stat_result:
        reads.append(wanted)
        return verify(fd, wanted)

    monkeypatch.setattr(cas_module, "verify_object", counted)
    cas.path(digest)
    assert reads == []
    monkeypatch.setattr("banger.store.stamps.boot_id", lambda: "another boot")
    assert not cas.is_verified(digest)
    cas.path(digest)
    cas.path(digest)
    assert reads == [digest]
    os.utime(cas.place(digest))
    cas.path(digest)
    assert reads == [digest, digest]


def test_a_change_that_sets_the_times_back_is_seen_by_its_ctime(cas: Cas, tmp_path: Path) -> None:
    digest = cas.adopt(sparse(tmp_path / "file"))
    before = cas.place(digest).stat()
    rewrite(cas, digest, b"HEAD" + BIG[4:])
    os.utime(cas.place(digest), ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DamagedError):
        cas.path(digest)


def test_a_big_object_of_another_length_is_not_even_taken_on_trust(cas: Cas, tmp_path: Path) -> None:
    digest = cas.adopt(sparse(tmp_path / "file"))
    cas.place(digest).chmod(0o600)
    os.truncate(cas.place(digest), len(BIG) - 1)
    assert not cas.has(digest)
    assert list(cas.bad.iterdir())


def test_new_content_takes_the_place_of_damage(cas: Cas) -> None:
    digest = cas.put_bytes(b"hello")
    rewrite(cas, digest, b"jello")
    assert cas.put_bytes(b"hello") == digest
    assert cas.read(digest) == b"hello"
    assert [path.read_bytes() for path in cas.bad.iterdir()] == [b"jello"]


def test_an_object_that_cannot_be_opened_for_want_of_descriptors_is_not_called_damaged(
    cas: Cas, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = cas.put_bytes(b"hello")

    def fail(*_arguments: object, **_words: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("banger.store.objects.os.open", fail)
        with pytest.raises(Exception, match="Too many open files"):
            cas.path(digest)
    assert cas.read(digest) == b"hello"
    with pytest.raises(MissingError):
        cas.path(digest_of_bytes(b"never stored"))
