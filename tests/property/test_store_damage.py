"""Damage to objects of every sort and size, thousands of times: all of it is noticed, none of it is served.

Each blow is drawn, struck, looked for by a reading or by a verification, and made good again before the next.
"""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banger.model.digest import Digest, digest_of_bytes
from banger.model.errors import DamagedError, MissingError, StoreError
from banger.store.objects import SMALL_BYTES
from banger.store.state import State
from banger.store.verify import Verification
from tests.crash.store_work import close_parts, open_parts

BY_DEFAULT = 1000
NIGHTLY = 10_000
_SEED = 7
_SIZES = (0, 1, 2, 100, 4096, 4097, 65_536, 300_000)
_BIG = (SMALL_BYTES + 1, 2 * SMALL_BYTES)


@pytest.fixture
def state() -> Iterator[State]:
    """In memory, where reading and writing cost little."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as directory:
        state = open_parts(Path(directory) / "state")
        yield state
        close_parts(state)


def flip(place: Path, data: bytes, rng: random.Random) -> None:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 5))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    if bytes(damaged) == data:  # two flips of one bit
        damaged[0] ^= 1
    place.chmod(0o600)
    place.write_bytes(damaged)


def flip_unseen(place: Path, data: bytes, rng: random.Random) -> None:
    """Change a byte and set the times back, as a tool that copies does."""
    before = place.stat()
    flip(place, data, rng)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(place: Path, data: bytes, rng: random.Random) -> None:
    place.chmod(0o600)
    os.truncate(place, rng.randrange(len(data)))


def extend(place: Path, data: bytes, rng: random.Random) -> None:
    place.chmod(0o600)
    os.truncate(place, len(data) + rng.choice((1, 512, 1 << 23)))


def zero(place: Path, data: bytes, rng: random.Random) -> None:
    place.chmod(0o600)
    start = rng.randrange(len(data))
    with place.open("r+b") as file:
        file.seek(start)
        file.write(bytes(byte ^ 0xFF for byte in data[start : start + 4096]))


def replace(place: Path, data: bytes, rng: random.Random) -> None:
    place.unlink()
    place.write_bytes(b"something else" + data)


def symlink(place: Path, data: bytes, rng: random.Random) -> None:
    """To a file of the right content: followed, it would do, until somebody changes it."""
    other = place.parents[3] / "elsewhere"
    other.write_bytes(data)
    place.unlink()
    place.symlink_to(rng.choice((str(other), "/nowhere", "/dev/zero")))


def directory(place: Path, data: bytes, rng: random.Random) -> None:
    place.unlink()
    place.mkdir()
    (place / "file").write_bytes(data)


def fifo(place: Path, data: bytes, rng: random.Random) -> None:
    place.unlink()
    os.mkfifo(place)


def delete(place: Path, data: bytes, rng: random.Random) -> None:
    place.unlink()


BLOWS: tuple[Callable[[Path, bytes, random.Random], None], ...] = (
    *(flip, flip, flip, flip, flip_unseen, truncate, extend, zero, replace, symlink, directory, fifo, delete),
)
NEED_CONTENT = {flip, flip_unseen, truncate, zero}


def objects(state: State, rng: random.Random) -> dict[Digest, bytes]:
    contents = [rng.randbytes(size) for size in _SIZES for _ in range(8)] + [rng.randbytes(size) for size in _BIG]
    return {state.cas.put_bytes(data): data for data in contents}


def strike(state: State, digests: list[Digest], contents: dict[Digest, bytes], rng: random.Random) -> str:
    """Do one sort of damage; a swap strikes two objects."""
    if len(digests) == 2:
        first, second = map(state.cas.place, digests)
        spare = first.with_name("spare")
        first.rename(spare)
        second.rename(first)
        spare.rename(second)
        return "swap"
    data = contents[digests[0]]
    blow = rng.choice([one for one in BLOWS if data or one not in NEED_CONTENT])
    blow(state.cas.place(digests[0]), data, rng)
    return blow.__name__


def is_served(state: State, digest: Digest, rng: random.Random) -> bool:
    """Whether some way of getting at the object gives it out."""
    dest = state.scratch.root / "out"
    ways: list[Callable[[], object]] = [
        lambda: state.cas.read(digest),
        lambda: state.cas.path(digest),
        lambda: state.cas.materialize(digest, dest, writable=True),
        lambda: state.cas.materialize(digest, dest, writable=False),
    ]
    try:
        rng.choice(ways)()
    except (DamagedError, MissingError):
        assert not dest.exists()
        return False
    dest.unlink(missing_ok=True)
    return True


def batter(state: State, times: int) -> None:
    rng = random.Random(_SEED)
    contents = objects(state, rng)
    names = sorted(contents)
    for _ in range(times):
        digests = rng.sample(names, 2 if rng.random() < 0.07 else 1)
        what = strike(state, digests, contents, rng)
        for digest in digests:
            assert not is_served(state, digest, rng), f"{what} of {digest} was not noticed"
            assert not state.cas.has(digest)
            assert state.cas.put_bytes(contents[digest]) == digest
            assert state.cas.read(digest) == contents[digest]
        for evidence in state.cas.bad.iterdir():
            state.cas._files.rename(evidence, state.cas.root / "trash" / evidence.name)
    state.cas.sweep()


@pytest.mark.timeout(120)
def test_a_thousand_damages_are_all_noticed_and_none_is_served(state: State) -> None:
    batter(state, BY_DEFAULT)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_ten_thousand_damages_are_all_noticed_and_none_is_served(state: State) -> None:
    batter(state, NIGHTLY)


@pytest.mark.parametrize("seed", range(3))
def test_a_verification_finds_every_damage_at_once_and_a_second_one_finds_nothing(state: State, seed: int) -> None:
    rng = random.Random(seed)
    contents = objects(state, rng)
    struck = {digest: strike(state, [digest], contents, rng) for digest in rng.sample(sorted(contents), 40)}
    for digest in contents:  # as if the device itself had changed the bytes: no stamp tells
        place = state.cas.place(digest)
        if place.is_file() and not place.is_symlink():
            state.cas.stamps.set(digest, place.stat())
    seen = Verification(state, repair=False)
    seen.run()
    found = {problem.subject: problem for problem in seen.problems if problem.kind != "mode"}
    assert set(found) == set(struck), "damaged and not found, or found and not damaged"
    assert not any(problem.repaired for problem in seen.problems)
    Verification(state, repair=True).run()
    again = Verification(state, repair=True)
    again.run()
    assert again.problems == []
    for digest, data in contents.items():
        if digest in struck:
            with pytest.raises(StoreError):
                state.cas.read(digest)
        else:
            assert state.cas.read(digest) == data


def test_what_a_damaged_object_was_is_kept_as_evidence(state: State) -> None:
    digest = state.cas.put_bytes(b"hello" * 100)
    place = state.cas.place(digest)
    place.chmod(0o600)
    place.write_bytes(b"evidence")
    with pytest.raises(DamagedError, match="put aside"):
        state.cas.path(digest)
    assert [path.read_bytes() for path in state.cas.bad.iterdir()] == [b"evidence"]
    assert digest == digest_of_bytes(b"hello" * 100)
