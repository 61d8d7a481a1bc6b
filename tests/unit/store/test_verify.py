"""A verification stops at nothing, repairs what can be, keeps the evidence, and finds nothing the second time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.model.action import Output
from banger.model.cache import ProblemView, VerifyView
from banger.model.digest import Digest, digest_of
from banger.model.vm import GIB, Sizes, VmRequest
from banger.store.journal import InputValue
from banger.store.state import State
from banger.store.verify import Verification
from tests.crash.store_work import close_parts, open_parts
from tests.unit.store.test_collect import lease_with


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = open_parts(tmp_path / "state")
    yield state
    close_parts(state)


def verify(state: State, *, repair: bool = False) -> VerifyView:
    walk = Verification(state, repair)
    walk.run()
    return VerifyView(walk.objects, walk.bytes_read, walk.records, 0.0, walk.problems)


def remember(state: State, name: str, data: bytes) -> Digest:
    digest = state.cas.put_bytes(data)
    output = Output({"digest": digest}, (digest,))
    state.actions.put(digest_of("test", name), {"kind": "toy"}, output, label=name, run_id="r", seconds=1.0)
    return digest


def damage(state: State, digest: Digest) -> None:
    place = state.cas.place(digest)
    place.chmod(0o644)
    place.write_bytes(b"damage")


def kinds(view: VerifyView) -> list[str]:
    return sorted(problem.kind for problem in view.problems)


def test_a_sound_store_has_no_problem(state: State) -> None:
    remember(state, "one", b"a" * 5000)
    seen = verify(state)
    assert (seen.exit_status, seen.objects, seen.bytes_read, seen.records) == (0, 1, 5000, 1)


def test_everything_is_found_in_one_walk_and_repaired_in_one(state: State) -> None:
    damage(state, remember(state, "damaged", b"a"))
    state.cas.place(remember(state, "deleted", b"b")).unlink()
    state.cas.place(remember(state, "mode", b"c")).chmod(0o644)
    sound = remember(state, "sound", b"d")
    root = state.cas.root
    (root / "stray").write_text("x")
    (root / "sha256" / "zz").mkdir()
    (root / "sha256" / "README").write_text("x")
    (state.cas.place(sound).parent / "notes.txt").write_text("x")
    (root / "sha256" / "00").mkdir(exist_ok=True)
    (root / "sha256" / "00" / ("f" * 64)).write_text("in the wrong directory")
    with state.database.transaction() as connection:
        connection.execute("UPDATE actions SET value = '{' WHERE label = 'sound'")
    seen = verify(state)
    found = ["damaged", "foreign", "foreign", "foreign", "foreign", "foreign", "mode", "record", "record", "vanished"]
    assert kinds(seen) == found
    assert seen.exit_status == 2
    assert kinds(verify(state)) == found, "a look without repair has changed something"
    repaired = verify(state, repair=True)
    assert repaired.exit_status == 1
    assert kinds(repaired) == sorted([*found, "record"]), "the record of the damaged object goes as well"
    assert verify(state, repair=True).problems == []
    assert state.cas.read(sound) == b"d"
    assert len(list(state.cas.bad.iterdir())) == 6, "evidence was deleted"


def test_an_object_that_cannot_be_read_does_not_stop_the_walk(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [remember(state, str(number), b"%d" % number) for number in range(5)]
    unreadable = state.cas.place(names[2]).stat().st_ino
    real = os.preadv

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        if os.fstat(fd).st_ino == unreadable:
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset)

    monkeypatch.setattr("banger.store.objects.os.preadv", preadv)
    seen = verify(state)
    assert [(problem.kind, problem.subject) for problem in seen.problems] == [("damaged", names[2])]
    assert "Input/output error" in seen.problems[0].detail
    assert seen.objects == 5
    assert verify(state, repair=True).exit_status == 1
    assert verify(state).exit_status == 0


def test_what_cannot_be_repaired_is_said_and_the_rest_is_repaired(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = remember(state, "one", b"a")
    damage(state, damaged)
    state.cas.place(remember(state, "two", b"b")).chmod(0o600)

    def refuse(_path: Path) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(state.cas, "put_aside", refuse)
        seen = verify(state, repair=True)
    assert {problem.kind: problem.repaired for problem in seen.problems} == {"damaged": False, "mode": True}
    assert any("Read-only file system" in problem.detail for problem in seen.problems)
    assert seen.exit_status == 2


def test_a_vm_on_an_image_that_is_gone_is_named_and_cannot_be_repaired(state: State) -> None:
    image = remember(state, "image", b"image")
    state.vms.add("vm", "box", VmRequest(sizes=Sizes(1, 512, GIB)))
    state.journal.intend(lease_with({"image": InputValue("image", {"digest": image})}))
    state.cas.place(image).unlink()
    for _ in range(2):
        seen = verify(state, repair=True)
        assert seen.exit_status == 2
        last = seen.problems[-1]
        assert last == ProblemView("lease", "box", f"was made from {image}, which is not there", repaired=False)


def test_a_walk_ends_when_it_is_told_to(state: State) -> None:
    for number in range(3):
        remember(state, str(number), b"%d" % number)

    class StoppedError(Exception):
        pass

    def told(objects: int, _bytes: int) -> None:
        if objects == 2:
            raise StoppedError

    walk = Verification(state, repair=False, told=told)
    with pytest.raises(StoppedError):
        walk.run()
