"""Sources as the rest of banger uses them: layers at once, progress, cancellation, several pulls of one blob."""

import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from banger.host.clock import SystemClock
from banger.model.errors import BangerError, HostError, SpecError
from banger.oci import BlobDir, ImageSource, Layer, RegistrySettings, open_source
from banger.oci.credentials import Credentials, NoCredentials
from banger.oci.errors import ContentError
from tests.fakes.badserver import BadServer, Reply, Request, serving
from tests.fakes.images import digest, make_image
from tests.unit.oci.pulling import PATIENCE, REPOSITORY, blob_path, put_image

pytestmark = pytest.mark.anyio
IMAGE = make_image((300_000, 200_000, 100_000, 50_000, 10))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[BadServer]:
    with BadServer() as server:
        put_image(server, IMAGE)
        yield server


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def source_of(server: BadServer, credentials: Credentials | None = None) -> ImageSource:
    settings = RegistrySettings(patience=replace(PATIENCE, backoff_s=0.01))
    return open_source(f"{server.host}/{REPOSITORY}:1", settings, SystemClock(), credentials or NoCredentials())


async def test_layers_come_at_once_in_their_order_and_progress_ends_at_the_total(
    server: BadServer, tmp_path: Path
) -> None:
    together, most = 0, 0
    lock = threading.Lock()

    def counting(data: bytes) -> object:
        def answer(request: Request) -> Reply:
            nonlocal together, most
            with lock:
                together += 1
                most = max(most, together)
            time.sleep(0.1)
            with lock:
                together -= 1
            return serving(data)(request)

        return answer

    for data in IMAGE.layers:
        server.on(blob_path(data), counting(data))  # type: ignore[arg-type]
    seen: list[tuple[int, int]] = []
    source = source_of(server)
    image = await source.resolve()
    paths = await source.fetch(image.layers, BlobDir(tmp_path), lambda done, total: seen.append((done, total)))
    assert [path.read_bytes() for path in paths] == IMAGE.layers
    assert most == 3
    assert seen[-1] == (image.size, image.size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


async def test_the_same_layer_twice_is_fetched_once(server: BadServer, tmp_path: Path) -> None:
    source = source_of(server)
    layer = (await source.resolve()).layers[0]
    first, second = await source.fetch([layer, layer], BlobDir(tmp_path))
    assert first == second
    assert len(server.asked(blob_path(IMAGE.layers[0]))) == 1


async def test_cancellation_ends_soon_and_leaves_only_what_can_be_gone_on_with(
    server: BadServer, tmp_path: Path
) -> None:
    data = IMAGE.layers[0]
    server.on(blob_path(data), Reply(200, data, (("ETag", '"tag"'),), cut=len(data) // 2, ending="hang"), serving(data))
    source = source_of(server)
    image = await source.resolve()
    threads = threading.active_count()
    began = time.monotonic()
    with anyio.move_on_after(0.25) as scope:
        await source.fetch(image.layers[:1], BlobDir(tmp_path))
    assert scope.cancelled_caught
    assert time.monotonic() - began < 1.5
    assert names_in(tmp_path / "sha256") == []
    # Threads of the server, and idle ones of anyio, come and go; none of ours that writes is left.
    assert not [each for each in threading.enumerate() if each.name == "oci-write"], threads
    (path,) = await source.fetch(image.layers[:1], BlobDir(tmp_path))
    assert path.read_bytes() == data
    assert server.asked(blob_path(data))[-1].headers.get("range", "").startswith("bytes=")


async def test_the_first_error_ends_the_other_layers_and_arrives_as_itself(server: BadServer, tmp_path: Path) -> None:
    bad, slow = IMAGE.layers[0], IMAGE.layers[1]
    server.on(blob_path(bad), Reply(200, bad[:-1] + b"x"))
    server.on(blob_path(slow), Reply(200, slow, drip=0.001))
    source = source_of(server)
    image = await source.resolve()
    began = time.monotonic()
    with pytest.raises(ContentError, match=digest(bad)):
        await source.fetch(image.layers[:2], BlobDir(tmp_path), lambda _done, _total: None)
    assert time.monotonic() - began < 2


async def test_many_pulls_at_once_fetch_each_blob_once(server: BadServer, tmp_path: Path) -> None:
    fetched: list[bytes] = []

    async def pull() -> None:
        source = source_of(server)
        image = await source.resolve()
        paths = await source.fetch(image.layers, BlobDir(tmp_path))
        assert [path.read_bytes() for path in paths] == IMAGE.layers
        fetched.append(b"")

    async with anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(pull)
    assert len(fetched) == 16
    assert {len(server.asked(blob_path(data))) for data in IMAGE.layers} == {1}


async def test_a_blob_that_was_damaged_on_disk_is_put_aside_and_fetched_again(
    server: BadServer, tmp_path: Path
) -> None:
    source = source_of(server)
    layers = (await source.resolve()).layers
    (path,) = await source.fetch(layers[:1], BlobDir(tmp_path))
    for damage in ("flip", "shorter", "directory", "symlink", "empty"):
        path.chmod(0o600)
        if damage == "flip":
            path.write_bytes(IMAGE.layers[0][:-1] + b"x")
        elif damage in {"shorter", "empty"}:
            path.write_bytes(IMAGE.layers[0][:-1] if damage == "shorter" else b"")
        else:
            path.unlink()
            path.mkdir() if damage == "directory" else path.symlink_to("/etc/passwd")
        (again,) = await source.fetch(layers[:1], BlobDir(tmp_path))
        assert again.read_bytes() == IMAGE.layers[0]
    assert len(list((tmp_path / "bad").iterdir())) == 5


async def test_a_full_disk_is_said_before_anything_is_fetched(server: BadServer, tmp_path: Path) -> None:
    source = source_of(server)
    huge = Layer(digest=(await source.resolve()).layers[0].digest, size=2**60, media_type="x", diff_id=digest(b"x"))  # type: ignore[arg-type]
    with pytest.raises(HostError, match="are needed") as failure:
        await source.fetch([huge], BlobDir(tmp_path))
    assert failure.value.hint
    assert server.asked(blob_path(IMAGE.layers[0])) == []


async def test_a_disk_that_fills_up_meanwhile_is_an_error_of_the_host(
    server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    written = 0

    def filling(fd: int, data: bytes, offset: int) -> int:
        nonlocal written
        if written > 100_000:
            raise OSError(28, "No space left on device")
        written += min(len(data), 40_000)
        return real(fd, data[:40_000], offset)

    source = source_of(server)
    image = await source.resolve()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", filling)
        with pytest.raises(HostError, match="No space left") as failure:
            await source.fetch(image.layers[:1], BlobDir(tmp_path))
    assert failure.value.hint == "banger cache prune"
    (path,) = await source.fetch(image.layers[:1], BlobDir(tmp_path))
    assert path.read_bytes() == IMAGE.layers[0]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("host.example/library/debian:bookworm", "debian-bookworm"),
        ("oci:/a/layout", "layout"),
        ("oci:/a/layout:1.2", "layout-1-2"),
        ("docker-archive:/a/image.tar.1", "image"),
        ("docker-archive:/a/image.tar:team/app:1", "app-1"),
        ("docker-archive:/a/image.tar:@3", "image"),
    ],
)
async def test_every_source_has_a_name_for_its_image(text: str, name: str) -> None:
    assert open_source(text, RegistrySettings(), SystemClock()).image_name == name


@pytest.mark.parametrize("text", ["", "oci:", "docker-archive:", "dir:/x", "docker://x", "/etc/passwd", "./x"])
async def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        open_source(text, RegistrySettings(), SystemClock())


async def test_nothing_of_a_pull_is_written_outside(server: BadServer, tmp_path: Path) -> None:
    (tmp_path / "canary").write_bytes(b"x")
    source = source_of(server)
    server.on(blob_path(IMAGE.layers[1]), Reply(500))
    image = await source.resolve()
    with pytest.raises(BangerError), anyio.fail_after(5):
        await source.fetch(image.layers, BlobDir(tmp_path / "blobs"))
    assert names_in(tmp_path) == ["blobs", "canary"]


@pytest.mark.parametrize("fault", [Reply(500), Reply(200, b"x"), Reply(200, IMAGE.layers[0], cut=9, ending="close")])
async def test_no_connection_and_no_file_stays_open(server: BadServer, tmp_path: Path, fault: Reply) -> None:
    data = IMAGE.layers[0]
    server.on(blob_path(data), fault, serving(data))
    source = source_of(server)
    image = await source.resolve()
    before = ours_open(server, tmp_path)
    gc.disable()
    try:
        with contextlib.suppress(BangerError):
            await source.fetch(image.layers, BlobDir(tmp_path))
        assert ours_open(server, tmp_path) == before == []
    finally:
        gc.enable()


def ours_open(server: BadServer, directory: Path) -> list[str]:
    """Connections to the server, and files below a directory, that this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a list, before it changes
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115 - no path
            if target.startswith(str(directory)):
                found.append(target)
            elif target.startswith("socket:"):
                peer = socket.socket(fileno=os.dup(int(name)))
                with peer:
                    found += [target] if peer.getpeername() == ("127.0.0.1", server.port) else []
    return found
