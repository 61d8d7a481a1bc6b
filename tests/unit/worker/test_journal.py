"""What was written down is there after any crash; what a crash cannot have done is not believed."""

import binascii
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.worker import journal as journal_module
from banger.worker.journal import Journal, JournalError, Lease
from banger.worker.wire import Destination

BRIDGE, TAP = Lease("bridge", "a" * 32), Lease("tap", "a" * 32, slot=3)
NAT = Lease("nat", "a" * 32, 0, egress=True, peers=True, allow=(Destination(0, 0, "tcp", 1, 9),))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


def read(directory: int, boot: str = "one") -> tuple[list[Lease], list[Lease], list[Lease]]:
    journal = Journal(directory, boot)
    try:
        return journal.begun(), journal.all_held(), journal.from_before()
    finally:
        journal.close()


def write(directory: int) -> None:
    journal = Journal(directory, "one")
    for lease in (BRIDGE, TAP):
        journal.intend(lease)
        journal.hold(lease)
    journal.intend(NAT)
    journal.close()


def test_what_was_begun_and_what_is_held_is_found_again(directory: int) -> None:
    write(directory)
    for _ in range(2):  # the first to read it writes it anew
        assert read(directory) == ([NAT], [BRIDGE, TAP], [])


def test_what_is_done_anew_is_held_no_more_until_it_is_done(directory: int) -> None:
    write(directory)
    journal = Journal(directory, "one")
    journal.intend(TAP)
    assert journal.held("tap", TAP.key) is None
    assert journal.all_held("tap") == []
    journal.hold(TAP)
    assert journal.held("tap", TAP.key) == TAP
    assert journal.all_held("tap") == [TAP]
    journal.close()


def test_what_was_released_is_forgotten_also_if_it_was_never_there(directory: int) -> None:
    write(directory)
    journal = Journal(directory, "one")
    for lease in (NAT, TAP, BRIDGE, BRIDGE):
        journal.release(lease)
    journal.close()
    assert read(directory) == ([], [], [])


def test_another_boot_is_seen(directory: int, tmp_path: Path) -> None:
    write(directory)
    assert read(directory, "two") == ([NAT], [BRIDGE, TAP], [NAT, BRIDGE, TAP])
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_every_cut_of_the_file_leaves_a_beginning_of_what_was_done(
    directory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banger.worker.journal.os.fsync", lambda _: None)  # the disk has nothing to do with it
    write(directory)
    whole = (tmp_path / "journal").read_bytes()
    ends = [0]
    while ends[-1] < len(whole):
        ends.append(ends[-1] + 8 + int.from_bytes(whole[ends[-1] : ends[-1] + 4], "big"))
    states = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    for cut in range(len(whole) + 1):
        whole_records = max(place for place, end in enumerate(ends) if end <= cut)
        next_end = ends[min(whole_records + 1, len(ends) - 1)]
        for hole in {0, next_end - cut}:  # a file may have grown before its content came
            (tmp_path / "journal").write_bytes(whole[:cut] + bytes(hole))
            begun, held, _ = read(directory)
            assert (len(begun), len(held)) == states[whole_records]


def test_every_byte_that_rotted_before_the_last_record_is_found(directory: int, tmp_path: Path) -> None:
    journal = Journal(directory, "one")
    journal.intend(BRIDGE)
    first = os.stat("journal", dir_fd=directory).st_size
    for number in range(60):
        journal.intend(Lease("tap", f"{number:032x}"))
    journal.close()
    whole = (tmp_path / "journal").read_bytes()
    for place in range(4, first):
        damaged = bytearray(whole)
        damaged[place] ^= 0x20
        (tmp_path / "journal").write_bytes(damaged)
        with pytest.raises(JournalError):
            Journal(directory, "one")


@pytest.mark.parametrize("head", [b"\xff\xff\xff\xff\0\0\0\0", bytes(8)])
def test_a_length_that_was_never_written_is_found(directory: int, tmp_path: Path, head: bytes) -> None:
    write(directory)
    whole = (tmp_path / "journal").read_bytes()
    (tmp_path / "journal").write_bytes(head + whole * 20)
    with pytest.raises(JournalError, match="damaged"):
        Journal(directory, "one")


def test_a_record_of_another_version_is_not_guessed_at(directory: int, tmp_path: Path) -> None:
    body = b'{"state":"lent"}'
    head = len(body).to_bytes(4, "big") + binascii.crc32(body).to_bytes(4, "big")
    (tmp_path / "journal").write_bytes(head + body)
    with pytest.raises(JournalError, match="another kind"):
        Journal(directory, "one")


def test_it_is_written_anew_before_it_grows_without_end(
    directory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_COMPACT_ABOVE", 2000)
    journal = Journal(directory, "one")
    journal.hold(BRIDGE)
    for _ in range(100):
        journal.intend(TAP)
        journal.hold(TAP)
        journal.release(TAP)
    assert (tmp_path / "journal").stat().st_size < 3000
    journal.close()
    assert read(directory) == ([], [BRIDGE], [])


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_disk_that_fails_is_an_error_and_nothing_is_taken_as_done(
    directory: int, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    journal = Journal(directory, "one")
    with monkeypatch.context() as patch:
        patch.setattr(f"banger.worker.journal.os.{call}", fail)
        with pytest.raises(JournalError, match="No space"):
            journal.intend(BRIDGE)
    assert journal.begun() == []
    journal.close()


def test_a_disk_that_fails_while_it_is_written_anew_leaves_the_old_one(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    write(directory)
    with monkeypatch.context() as patch:
        patch.setattr("banger.worker.journal.os.fsync", fail)
        with pytest.raises(JournalError, match="anew"):
            Journal(directory, "one")
    assert read(directory) == ([NAT], [BRIDGE, TAP], [])


def test_a_link_in_its_place_is_not_followed(directory: int, tmp_path: Path) -> None:
    (tmp_path / "journal").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic links"):
        Journal(directory, "one")
