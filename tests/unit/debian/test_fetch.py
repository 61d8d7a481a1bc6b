"""The downloader, with apt's own programs, on an archive that is a directory."""

import os
from pathlib import Path

import msgspec
import pytest

from banger.debian import fetch as module
from banger.debian.fetch import fetch
from banger.debian.values import Source
from banger.model.errors import HostError, TransientError
from tests.unit.debian.conftest import LocalArchive


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 2)
    monkeypatch.setattr(module, "_BACKOFF_CAP_S", 0.01)


async def test_packages_arrive_under_their_sha256(local: LocalArchive, tmp_path: Path) -> None:
    pins = [local.add(f"p{index}", os.urandom(1000 + index)) for index in range(60)]
    seen: list[tuple[int, int]] = []
    files = await fetch(local.archive, pins, tmp_path / "out", lambda done, total: seen.append((done, total)))
    assert {name: path.read_bytes() for name, path in files.items()} == {
        pin.name: (local.folder / pin.filename).read_bytes() for pin in pins
    }
    assert all(files[pin.name].name == pin.sha256 and not files[pin.name].is_symlink() for pin in pins)
    total = sum(pin.size for pin in pins)
    assert seen[-1] == (total, total)


async def test_what_is_there_and_right_is_kept_and_what_is_damaged_is_fetched_again(
    local: LocalArchive, tmp_path: Path
) -> None:
    whole, damaged = local.add("whole", b"w" * 5000), local.add("damaged", b"d" * 5000)
    out = tmp_path / "out"
    files = await fetch(local.archive, [whole, damaged], out)
    (local.folder / whole.filename).unlink()
    files["damaged"].write_bytes(b"x" * 5000)
    assert (await fetch(local.archive, [whole, damaged], out))["damaged"].read_bytes() == b"d" * 5000


@pytest.mark.parametrize("content", [b"g" * 5000, b"g" * 5001, b"f" * 4999 + b"x"])
async def test_other_content_than_was_pinned_is_refused(local: LocalArchive, tmp_path: Path, content: bytes) -> None:
    good, forged = local.add("good", b"good"), local.add("forged", b"f" * 5000)
    (local.folder / forged.filename).write_bytes(content)
    with pytest.raises(HostError, match=r"forged: .*other content than the sha256") as caught:
        await fetch(local.archive, [good, forged], tmp_path / "out")
    assert not isinstance(caught.value, TransientError)
    assert not (tmp_path / "out" / forged.sha256).exists()
    assert (tmp_path / "out" / good.sha256).read_bytes() == b"good"


async def test_a_package_that_is_not_there_is_named(local: LocalArchive, tmp_path: Path) -> None:
    gone = local.add("gone", b"gone")
    (local.folder / gone.filename).unlink()
    with pytest.raises(TransientError, match="gone: not fetched from a test"):
        await fetch(local.archive, [gone], tmp_path / "out")


async def test_the_second_mirror_is_asked_when_the_first_has_not_the_package(
    local: LocalArchive, tmp_path: Path
) -> None:
    pin = local.add("there", b"there")
    first = Source(f"file:{tmp_path}/empty", ("bookworm",), ("main",))
    archive = msgspec.structs.replace(local.archive, sources=(first, *local.archive.sources))
    assert (await fetch(archive, [pin], tmp_path / "out"))["there"].read_bytes() == b"there"


async def test_a_pin_of_the_security_repository_is_not_looked_for_elsewhere(
    local: LocalArchive, tmp_path: Path
) -> None:
    pin = msgspec.structs.replace(local.add("a1", b"a"), security=True)
    with pytest.raises(HostError, match="no repository"):
        await fetch(local.archive, [pin], tmp_path / "out")
