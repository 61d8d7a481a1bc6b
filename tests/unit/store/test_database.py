"""The database says what is wrong with it in one line, and what can be read of a damaged one is not lost."""

import contextlib
import errno
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from banger.model.action import Output
from banger.model.digest import digest_of
from banger.model.errors import BangerError, ConflictError, HostError, NoSpaceError, NotFoundError, StoreError
from banger.model.vm import GIB, Sizes, VmRequest
from banger.store.database import Database
from banger.store.lock import StateLock
from banger.store.salvage import salvage
from banger.store.schema import MIGRATIONS
from banger.store.state import join_state, open_state
from banger.store.vms import Vms
from tests.crash.store_work import lease
from tests.fakes.clock import FakeClock

PAGE_BYTES = 4096


def test_every_connection_has_its_pragmas(tmp_path: Path) -> None:
    for _ in range(2):
        database = Database(tmp_path / "banger.db")
        found = [database.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")]
        assert found == ["wal", 2, 1]
        database.close()


@pytest.mark.requirement("DMN-020")
def test_an_older_database_is_migrated_and_keeps_its_rows(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "banger.db")
    connection.executescript(MIGRATIONS[0])
    connection.execute("PRAGMA user_version=1")
    connection.execute("INSERT INTO vms VALUES ('id', 'box', '{}', 1.0)")
    connection.execute("INSERT INTO blobs VALUES ('sha256:x', 1, '1:2:boot')")
    connection.commit()
    connection.close()
    database = Database(tmp_path / "banger.db")
    assert [row["name"] for row in database.rows("SELECT name FROM vms")] == ["box"]
    assert database.rows("SELECT * FROM blobs") == []
    assert database.rows("PRAGMA user_version")[0][0] == len(MIGRATIONS)


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS) + 1))
def test_a_migration_that_dies_halfway_is_done_again_from_its_start(tmp_path: Path, number: int) -> None:
    class DeadError(BaseException):
        pass

    def die(step: str) -> None:
        if step == f"commit schema {number}":
            raise DeadError

    with pytest.raises(DeadError):
        Database(tmp_path / "banger.db", die)
    database = Database(tmp_path / "banger.db")
    assert database.rows("PRAGMA user_version")[0][0] == len(MIGRATIONS)
    assert database.problems() == []


def test_a_database_of_a_newer_banger_is_left_as_it_was_to_the_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "banger.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.execute("CREATE TABLE future (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="written by a newer banger") as caught:
        Database(path)
    assert caught.value.hint is not None
    assert "upgrade" in caught.value.hint
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["banger.db"]


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read as one" * 100, b"\0" * 9000])
def test_a_file_that_is_no_database_is_one_clear_error_with_the_next_command(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "banger.db").write_bytes(content)
    with pytest.raises(StoreError, match="is damaged: file is not a database") as caught:
        Database(tmp_path / "banger.db")
    assert caught.value.hint == "banger daemon salvage"
    assert (tmp_path / "banger.db").read_bytes() == content
    with pytest.raises(StoreError, match="is damaged"):
        open_state(tmp_path)
    StateLock(tmp_path).release()  # the failed opening has given the lock back


def test_a_commit_that_fails_is_an_error_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    def fail(step: str) -> None:
        if step == "commit doomed":
            raise OSError(28, "No space left on device")

    database = Database(tmp_path / "banger.db", fail)
    vms = Vms(database, FakeClock())

    def doomed() -> None:
        with database.transaction("doomed"):
            vms.add("1", "one", VmRequest(sizes=Sizes(1, 512, GIB)))

    with pytest.raises(OSError, match="No space"):
        doomed()
    assert vms.names() == set()
    vms.add("2", "two", VmRequest(sizes=Sizes(1, 512, GIB)))
    assert {row[0] for row in sqlite3.connect(database.path).execute("SELECT name FROM vms")} == {"two"}


class Failing:
    """A connection whose COMMIT fails as SQLite reports it."""

    def __init__(self, real: sqlite3.Connection, code: int) -> None:
        self._real = real
        self._code = code

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            error = sqlite3.OperationalError("no")
            error.sqlite_errorcode = self._code
            raise error
        return self._real.execute(sql, *values)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, NoSpaceError),
        (sqlite3.SQLITE_IOERR_FSYNC, HostError),
        (sqlite3.SQLITE_CORRUPT, StoreError),
    ],
)
def test_what_sqlite_reports_becomes_an_error_that_says_what_to_do(
    tmp_path: Path, code: int, kind: type[BangerError]
) -> None:
    database = Database(tmp_path / "banger.db")
    real = database.connection
    database.connection = Failing(real, code)  # type: ignore[assignment]
    vms = Vms(database, FakeClock())
    with pytest.raises(kind) as caught:
        vms.add("1", "one", VmRequest(sizes=Sizes(1, 512, GIB)))
    assert caught.value.hint
    assert not real.in_transaction
    database.connection = real
    if code == sqlite3.SQLITE_IOERR_FSYNC:  # what was written after a lost write would hang in the air
        with pytest.raises(HostError, match="an earlier write failed"):
            vms.add("2", "two", VmRequest(sizes=Sizes(1, 512, GIB)))
    else:
        vms.add("2", "two", VmRequest(sizes=Sizes(1, 512, GIB)))


def fill(root: Path, count: int) -> None:
    state = open_state(root)
    for number in range(count):
        state.vms.add(f"{number:032}", f"vm-{number}", VmRequest(sizes=Sizes(1, 512, GIB)))
        state.runs.begin(f"run{number}", "vm.create" + "x" * 500, None)
    state.close()


def test_salvage_saves_every_row_of_a_sound_database(tmp_path: Path) -> None:
    fill(tmp_path, 50)
    saved = salvage(tmp_path)
    assert (saved.rows["vms"], saved.rows["runs"], saved.lost) == (50, 50, [])
    assert Path(saved.kept).exists()
    state = open_state(tmp_path)
    assert len(state.vms.all()) == 50
    state.close()


def pages_of_rows(path: Path) -> list[int]:
    """Numbers of the pages that hold rows or indices: without those of the schema, which says where all others are."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT pageno FROM dbstat WHERE name != 'sqlite_schema' ORDER BY pageno").fetchall()
    return [page for (page,) in rows]


@pytest.mark.parametrize("index", [1, 4, 9, 16, 23])
def test_salvage_loses_no_more_than_what_a_broken_page_held(tmp_path: Path, index: int) -> None:
    fill(tmp_path, 200)
    path = tmp_path / "banger.db"
    page = pages_of_rows(path)[index]
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    damaged = path.read_bytes()
    saved = salvage(tmp_path)
    assert Path(saved.kept).read_bytes() == damaged
    state = open_state(tmp_path)
    assert state.database.problems() == []
    whole = sum(saved.rows.get(table) == 200 for table in ("vms", "runs"))
    assert whole >= 1, f"one page took rows of two tables: {saved}"
    assert len(state.vms.all()) == saved.rows.get("vms", 0)
    state.close()


def pages_of_the_schema(path: Path) -> list[int]:
    """The first page of the file, and those that have the rest of the schema."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT pageno FROM dbstat WHERE name = 'sqlite_schema' ORDER BY pageno").fetchall()
    return [page for (page,) in rows]


@pytest.mark.parametrize("damage", [b"\0", b"\xff", b"nothing of use. "])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_salvage_loses_nothing_with_a_page_of_the_schema(tmp_path: Path, which: int, damage: bytes) -> None:
    fill(tmp_path, 200)
    path = tmp_path / "banger.db"
    page = pages_of_the_schema(path)[which]
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write((damage * PAGE_BYTES)[:PAGE_BYTES])
    with pytest.raises(BangerError):
        open_state(tmp_path).close()
    saved = salvage(tmp_path)
    assert (saved.rows["vms"], saved.rows["runs"], saved.lost) == (200, 200, [])
    state = open_state(tmp_path)
    assert (len(state.vms.all()), state.database.problems()) == (200, [])
    state.close()
    assert list(tmp_path.glob("*.reading*")) == []


def test_salvage_has_what_only_the_log_of_a_killed_daemon_has_when_the_first_page_is_gone(tmp_path: Path) -> None:
    fill(tmp_path, 50)
    database = Database(tmp_path / "banger.db")
    database.connection.execute("PRAGMA wal_autocheckpoint=0")
    Vms(database, FakeClock()).add("f" * 32, "in-the-log", VmRequest(sizes=Sizes(1, 512, GIB)))
    killed = tmp_path / "killed"  # what SIGKILL leaves: a connection that is closed folds its log in
    killed.mkdir()
    for suffix in ("", "-wal", ".outline"):
        shutil.copy(tmp_path / f"banger.db{suffix}", killed)
    database.close()
    with (killed / "banger.db").open("r+b") as file:
        file.write(b"\xff" * PAGE_BYTES)
    assert salvage(killed).lost == []
    state = open_state(killed)
    assert state.vms.find("in-the-log").id == "f" * 32
    assert len(state.vms.all()) == 51
    state.close()


def test_salvage_says_that_a_table_is_lost_whose_first_page_is(tmp_path: Path) -> None:
    fill(tmp_path, 200)
    path = tmp_path / "banger.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'runs'").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    saved = salvage(tmp_path)
    assert (saved.lost, saved.rows["vms"]) == (["runs"], 200)


def test_salvage_leaves_out_a_lease_that_says_nothing_any_more_and_the_daemon_starts(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    for number in (1, 2):
        state.journal.intend(lease(number))
    with state.database.transaction() as connection:
        connection.execute("UPDATE leases SET params = '{' WHERE id = 'vm/1'")
    with pytest.raises(StoreError, match="lease 'vm/1' cannot be read") as caught:
        state.journal.all()
    assert caught.value.hint == "banger daemon salvage"
    state.close()
    assert salvage(tmp_path).lost == ["lease vm/1"]
    state = open_state(tmp_path)
    assert [one.id for one in state.journal.all()] == ["vm/2"]
    state.close()


def test_salvage_works_on_what_is_no_database_at_all(tmp_path: Path) -> None:
    (tmp_path / "banger.db").write_bytes(b"nothing of use" * 1000)
    assert salvage(tmp_path).lost
    open_state(tmp_path).close()


def test_salvage_keeps_away_from_a_running_daemon(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        salvage(tmp_path)
    state = open_state(tmp_path)
    with pytest.raises(ConflictError) as caught:
        salvage(tmp_path)
    assert caught.value.hint == "banger daemon stop"
    state.close()


def test_salvage_keeps_away_from_who_makes_artifacts_there(tmp_path: Path) -> None:
    guest = join_state(tmp_path)
    with pytest.raises(ConflictError, match="another process makes artifacts"):
        salvage(tmp_path)
    guest.close()
    assert salvage(tmp_path).lost == []


def test_only_the_owner_keeps_room_back(tmp_path: Path) -> None:
    join_state(tmp_path).close()
    assert not (tmp_path / "ballast").exists()
    open_state(tmp_path).close()
    assert (tmp_path / "ballast").exists()


def test_a_state_directory_whose_last_records_cannot_be_written_is_given_back(tmp_path: Path) -> None:
    def fail(step: str) -> None:
        if step == "commit record":
            raise OSError(errno.EIO, "Input/output error")

    state = open_state(tmp_path, FakeClock(), fail)
    key = digest_of("test", 1)
    state.recorder.put(key, {"kind": "toy"}, Output(1), label="", run_id="run", seconds=1.0)
    with pytest.raises(OSError, match="Input/output error"):
        state.close()
    again = open_state(tmp_path)
    assert again.actions.get(key) is None
    again.close()


def test_answers_that_cannot_be_read_are_put_aside_and_asked_for_again(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    state.close()
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "cache.db").write_bytes(b"no database" * 1000)
    state = open_state(tmp_path)
    assert state.answers.get(state.cas.put_bytes(b"x"), not_older_than_s=None) == (False, None)
    state.close()
    assert list(tmp_path.glob("answers.bad-*"))
