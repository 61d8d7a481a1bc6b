"""The store keeps what it acknowledged, serves nothing damaged, and says so in one clear error."""

import os
import sqlite3
from pathlib import Path

import pytest

from banger.model.action import Output, Scope
from banger.model.digest import Digest, digest_of, digest_of_bytes
from banger.model.errors import ConflictError, NotFoundError, StoreError
from banger.model.vm import GIB, Sizes, VmRequest
from banger.store.actions import ActionCache
from banger.store.answers import Answers
from banger.store.cas import Cas
from banger.store.database import Database
from banger.store.journal import InputValue, Journal, Lease
from banger.store.lock import StateLock
from banger.store.runs import NodeRun, Runs
from banger.store.scratch import Scratch, remove_tree
from banger.store.vms import Vms
from tests.fakes.clock import FakeClock

REQUEST = VmRequest(sizes=Sizes(1, 512, GIB))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "banger.db")


@pytest.fixture
def cas(tmp_path: Path, database: Database) -> Cas:
    return Cas(tmp_path / "cas", database)


def object_path(cas: Cas, digest: Digest) -> Path:
    return cas.root / "sha256" / digest[7:9] / digest[7:]


def test_an_object_is_read_only_and_named_by_its_content(cas: Cas) -> None:
    digest = cas.put_bytes(b"hello")
    assert digest == digest_of_bytes(b"hello")
    assert object_path(cas, digest).stat().st_mode & 0o777 == 0o444
    assert cas.read(digest) == b"hello"
    assert not list((cas.root / "incoming").iterdir())


@pytest.mark.parametrize("damage", ["flip", "truncate", "extend", "replace"])
def test_a_damaged_object_is_put_aside_and_never_served(cas: Cas, damage: str) -> None:
    digest = cas.put_bytes(b"hello" * 1000)
    place = object_path(cas, digest)
    place.chmod(0o600)
    match damage:
        case "flip":
            place.write_bytes(b"jello" + place.read_bytes()[5:])
        case "truncate":
            os.truncate(place, 100)
        case "extend":
            os.truncate(place, 6000)
        case _:
            place.unlink()
            place.write_bytes(b"other")
    with pytest.raises(StoreError, match="was damaged on disk"):
        cas.path(digest)
    assert not cas.has(digest)
    assert list((cas.root / "bad").iterdir())
    assert cas.put_bytes(b"hello" * 1000) == digest
    assert cas.read(digest) == b"hello" * 1000


def test_a_flip_that_keeps_every_stamp_is_still_found_in_a_small_object(cas: Cas) -> None:
    digest = cas.put_bytes(b"hello")
    place = object_path(cas, digest)
    before = place.stat()
    place.chmod(0o600)
    with place.open("r+b") as file:
        file.write(b"j")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(StoreError, match="damaged"):
        cas.read(digest)


def test_a_symlink_in_the_place_of_an_object_is_not_followed(cas: Cas, tmp_path: Path) -> None:
    digest = cas.put_bytes(b"hello")
    place = object_path(cas, digest)
    (tmp_path / "other").write_bytes(b"hello")
    place.unlink()
    place.symlink_to(tmp_path / "other")
    with pytest.raises(StoreError, match="a symbolic link lies in its place"):
        cas.path(digest)


def test_adopting_the_same_content_twice_keeps_one_object(cas: Cas, tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
        digests.add(cas.adopt(tmp_path / name))
        assert not (tmp_path / name).exists()
    assert len(digests) == 1
    assert cas.all() == sorted(digests)


def test_a_record_whose_artifact_is_gone_is_a_miss(cas: Cas, database: Database) -> None:
    actions = ActionCache(database, cas, FakeClock())
    artifact = cas.put_bytes(b"data")
    key = digest_of("test", 1)
    output = Output({"digest": artifact}, (artifact,))
    actions.put(key, {"kind": "k"}, output, label="", run_id="r", seconds=1.0)
    assert actions.get(key) == output
    cas.remove(artifact)
    assert actions.get(key) is None


def make_lease(name: str, **changes: object) -> Lease:
    fields: dict[str, object] = {
        "id": f"vm1/{name}",
        "vm_id": "vm1",
        "run_id": "run1",
        "node": name,
        "scope": Scope.VM,
        "kind": "k",
        "version": 1,
        "digest": digest_of("test", name),
        "params": {"a": 1},
        "inputs": {"image": InputValue("image.rootfs", {"digest": "x"})},
        "depends_on": ("vm1/disk",),
        "boot_id": "b",
    }
    return Lease(**(fields | changes))  # type: ignore[arg-type]


def test_a_lease_goes_from_intent_to_held_to_gone(database: Database) -> None:
    journal = Journal(database)
    lease = make_lease("tap")
    journal.intend(lease)
    assert journal.get("vm1/tap") == lease
    journal.hold("vm1/tap", {"ifindex": 7})
    held = journal.get("vm1/tap")
    assert held is not None
    assert (held.state, held.value) == ("held", {"ifindex": 7})
    journal.releasing("vm1/tap")
    journal.drop("vm1/tap")
    assert journal.all() == []


def test_only_leases_of_a_run_that_succeeded_are_spared_by_recovery(database: Database) -> None:
    journal = Journal(database)
    for name in ("a", "b"):
        journal.intend(make_lease(name))
        journal.hold(f"vm1/{name}", None)
    assert [lease.id for lease in journal.unfinished()] == ["vm1/a", "vm1/b"]
    journal.hand_over("run1")
    assert journal.unfinished() == []
    journal.releasing("vm1/a")
    assert [lease.id for lease in journal.unfinished()] == ["vm1/a"]


def test_a_commit_survives_a_second_connection_and_a_failed_transaction_leaves_nothing(database: Database) -> None:
    vms = Vms(database, FakeClock())
    vms.add("id1", "one", REQUEST)

    def fail_halfway() -> None:
        with database.transaction():
            vms.add("id2", "two", REQUEST)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert Vms(Database(database.path), FakeClock()).names() == {"one"}


def test_a_name_is_taken_once(database: Database) -> None:
    vms = Vms(database, FakeClock())
    vms.add("id1", "one", REQUEST)
    vms.add("id1", "one", REQUEST)
    with pytest.raises(ConflictError, match="there is a VM called one already"):
        vms.add("id2", "one", REQUEST)
    assert vms.find("one") == vms.find("id1")
    with pytest.raises(NotFoundError, match="no VM called 'ghost'"):
        vms.find("ghost")
    vms.remove("id1")
    assert vms.all() == []


def test_a_database_of_a_newer_banger_is_refused_untouched(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "banger.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreError, match="written by a newer banger"):
        Database(tmp_path / "banger.db")


def test_an_answer_is_as_young_as_asked_for(tmp_path: Path) -> None:
    clock = FakeClock()
    answers = Answers(tmp_path / "answers", clock)
    key = digest_of("test", "q")
    answers.put(key, {"version": "6.1"})
    clock.now += 100
    assert answers.get(key, not_older_than_s=200) == (True, {"version": "6.1"})
    assert answers.get(key, not_older_than_s=50) == (False, None)
    assert answers.get(key, not_older_than_s=None) == (True, {"version": "6.1"})
    clock.now -= 5000  # the wall clock was set back: an answer from the future is not believed
    assert answers.get(key, not_older_than_s=200) == (False, None)
    answers.close()


def test_a_pickle_in_the_answers_is_refused(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers", FakeClock())
    key = digest_of("test", "q")
    answers.put(key, 1)
    answers._cache._sql("UPDATE Cache SET mode = 4, value = ?", (b"\x80\x04N.",))
    with pytest.raises(TypeError, match="not one of our values"):
        answers.get(key, not_older_than_s=None)
    answers.close()


def test_a_state_directory_has_one_owner(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    with pytest.raises(ConflictError, match=f"in use by process {os.getpid()}"):
        StateLock(tmp_path)
    lock.release()
    StateLock(tmp_path).release()


def test_scratch_is_gone_after_a_failure_too(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "tmp")

    def fail() -> None:
        with scratch.directory() as path:
            (path / "deep").mkdir()
            (path / "deep" / "file").write_text("x")
            (path / "link").symlink_to("/etc")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(scratch.root.iterdir()) == []
    assert Path("/etc/passwd").exists()


def test_only_a_direct_child_of_our_own_directory_is_removed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="is not directly in"):
        remove_tree(tmp_path.parent, below=tmp_path)


def test_typical_seconds_come_from_executions_not_from_hits(database: Database) -> None:
    runs = Runs(database, FakeClock())
    for number, (cache, seconds) in enumerate([("miss", 10.0), ("miss", 12.0), ("miss", 14.0), ("hit", 0.0)]):
        runs.begin(f"r{number}", "vm.create", "vm1")
        node = NodeRun("n", "k", "build", cache, "done", 0.0, 1.0, 1.0 + seconds, None)
        runs.end(f"r{number}", "succeeded", seconds, [node])
    assert runs.typical_seconds() == {"k": 12.0}
    assert [run_id for run_id, _, _ in runs.recent("vm.create", 2)] != []
