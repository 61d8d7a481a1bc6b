"""Records reach the action cache in groups, and a table that was read in one go is believed no more than a row."""

import threading
import time
from pathlib import Path

import pytest

from banger.model.action import Output
from banger.model.digest import Digest, digest_of
from banger.store.actions import ActionCache
from banger.store.cas import Cas
from banger.store.claims import Claims
from banger.store.database import Database
from banger.store.recorder import EVERY_S, Recorder
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cas(tmp_path: Path) -> Cas:
    return Cas(tmp_path / "cas", Database(tmp_path / "banger.db"))


@pytest.fixture
def actions(tmp_path: Path, cas: Cas, clock: FakeClock) -> ActionCache:
    return ActionCache(Database(tmp_path / "banger.db"), cas, clock)


@pytest.fixture
def recorder(tmp_path: Path, actions: ActionCache, clock: FakeClock) -> Recorder:
    return Recorder(actions, Claims(tmp_path / "claims"), clock)


def key(number: int) -> Digest:
    return digest_of("test", number)


def put(recorder: Recorder, number: int, output: Output) -> None:
    recorder.put(key(number), {"kind": "k"}, output, label="", run_id="r", seconds=1.0)


def test_a_burst_is_written_in_one_go_and_seen_at_once(
    recorder: Recorder, actions: ActionCache, clock: FakeClock
) -> None:
    for number in range(3):
        put(recorder, number, Output(number))
    assert actions.all() == []
    assert recorder.get(key(2)) == Output(2)
    clock.now += 2 * EVERY_S
    put(recorder, 3, Output(3))
    assert {record.output for record in actions.all()} == {Output(number) for number in range(4)}
    assert len(recorder) == 0


def test_a_lone_record_is_written_at_once(recorder: Recorder, actions: ActionCache, clock: FakeClock) -> None:
    clock.now += 2 * EVERY_S
    put(recorder, 1, Output(1))
    assert len(actions.all()) == 1


def test_a_claim_is_kept_until_its_record_is_durable(tmp_path: Path, recorder: Recorder, clock: FakeClock) -> None:
    other = Claims(tmp_path / "claims")
    assert recorder._claims.take(key(1))
    put(recorder, 1, Output(1))
    assert not other.take(key(1))
    recorder.flush()
    assert other.take(key(1))


@pytest.mark.parametrize("kept", [(), (3,), (0, 7, 19), tuple(range(0, 20, 2)), tuple(range(19))])
def test_claims_that_are_given_back_together_leave_the_others(tmp_path: Path, kept: tuple[int, ...]) -> None:
    ours, other = Claims(tmp_path / "claims"), Claims(tmp_path / "claims")
    assert all(ours.take(key(number)) for number in range(20))
    ours.give_back(*(key(number) for number in range(20) if number not in kept))
    assert tuple(number for number in range(20) if not other.take(key(number))) == kept
    third = Claims(tmp_path / "claims")  # the counters have not been given back with them
    assert len({ours._place, other._place, third._place}) == 3


def test_a_loaded_record_says_the_same_as_one_that_was_looked_up(
    recorder: Recorder, actions: ActionCache, cas: Cas
) -> None:
    artifact = cas.put_bytes(b"data")
    output = Output({"file": artifact}, (artifact,))
    put(recorder, 1, output)
    recorder.flush()
    loaded = actions.load(1)
    assert loaded is not None
    assert actions.output_of(loaded[key(1)]) == actions.get(key(1)) == output
    cas.remove(artifact)
    assert actions.output_of(loaded[key(1)]) is None


def test_a_table_is_not_read_for_a_few_records_of_many(recorder: Recorder, actions: ActionCache) -> None:
    for number in range(20):
        put(recorder, number, Output(number))
    recorder.flush()
    assert actions.load(1) is None
    assert len(actions.load(10) or ()) == 20


def test_records_are_written_also_while_another_thread_is_in_a_transaction(
    tmp_path: Path, cas: Cas, clock: FakeClock
) -> None:
    database = Database(tmp_path / "banger.db")
    actions = ActionCache(database, cas, clock)
    recorder = Recorder(actions, Claims(tmp_path / "claims"), clock)
    inside = threading.Event()

    def write() -> None:
        with database.transaction():
            inside.set()
            time.sleep(0.2)

    other = threading.Thread(target=write)
    other.start()
    inside.wait(10)
    put(recorder, 1, Output(1))
    recorder.flush()
    other.join()
    assert actions.get(key(1)) == Output(1)


def test_what_is_not_written_yet_and_has_lost_its_artifact_is_a_miss(recorder: Recorder, cas: Cas) -> None:
    artifact = cas.put_bytes(b"artifact")
    put(recorder, 1, Output(None, (artifact,)))
    assert recorder.get(key(1)) is not None
    cas.remove(artifact)
    assert recorder.get(key(1)) is None
