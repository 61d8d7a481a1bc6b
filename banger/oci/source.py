"""Image sources as the rest of banger uses them: asynchronous, several layers at once, stopped by cancellation.

    debian:bookworm, host:5000/a/b@sha256:...      a registry
    oci:DIR[:NAME]                                 an OCI layout
    docker-archive:FILE[:REFERENCE]                what `docker save` made

All that blocks runs in threads with a `Stop`; when the task is cancelled they are told, waited for, and leave nothing
but partial files, from which the next fetch goes on.
"""

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread

from banger.model.clock import Clock
from banger.model.digest import Digest
from banger.model.errors import NotFoundError, SpecError
from banger.oci.archive import Archive
from banger.oci.auth import Authorizer
from banger.oci.blobs import BlobDir, Count
from banger.oci.credentials import Credentials, FileCredentials
from banger.oci.errors import StoppedError
from banger.oci.helper import helper_asker
from banger.oci.layout import Layout
from banger.oci.reference import Reference, image_name_of, parse_reference
from banger.oci.registry import Registry, RegistrySettings
from banger.oci.values import ImageManifest, Layer, Progress
from banger.oci.watch import Stop

_Result = TypeVar("_Result")
_REPORT_S = 0.2
CONNECTIONS = 3
"""Layers fetched at once: what Docker has as well, so that registries count on it."""


class _Reader(Protocol):
    """What one thread has of a source."""

    def find(self) -> Digest: ...
    def resolve(self) -> ImageManifest: ...
    def fetch(self, layer: Layer, blobs: BlobDir, count: Count) -> Path: ...
    def close(self) -> None: ...


OpenReader = Callable[[Stop, Digest | None], _Reader]
"""Opens the source for one thread; with a digest, for that image and no other, where the source can."""


class ImageSource:
    """Where an image comes from. `text` is as the user wrote it; `image_name` what banger calls the image.

    `full`: the same in the one form that says all. `file`: of an image in files, the one that changes whenever the
    image does.
    """

    def __init__(
        self, text: str, image_name: str, open_reader: OpenReader, *, full: str, file: Path | None = None
    ) -> None:
        self.text = text
        self.full = full
        self.image_name = image_name
        self.file = file
        self._open = open_reader

    async def find(self) -> Digest:
        """Find out which image it is now, by its manifest's digest. Raises as `resolve`."""

        def work(stop: Stop) -> Digest:
            with closing(self._open(stop, None)) as reader:
                return reader.find()

        return await in_thread(work)

    async def resolve(self, digest: Digest | None = None) -> ImageManifest:
        """Read the image that it is now, or that one. Raises SpecError, NotFoundError, TransientError, and
        RegistryError."""

        def work(stop: Stop) -> ImageManifest:
            with closing(self._open(stop, digest)) as reader:
                return reader.resolve()

        manifest = await in_thread(work)
        if digest not in {None, manifest.digest}:
            raise NotFoundError(f"{self.text}: is another image now: {manifest.digest}, not {digest}")
        return manifest

    async def fetch(self, layers: Sequence[Layer], blobs: BlobDir, on_progress: Progress | None = None) -> list[Path]:
        """Have every layer as a verified file in `blobs`, in the order of `layers`. Raises as `resolve`, and HostError.

        The first error ends the others; what they have of their blobs is kept.
        """
        distinct = list(dict.fromkeys(layers))
        tally = _Tally(distinct)

        def work(stop: Stop) -> None:
            with closing(self._open(stop, None)) as reader:
                while (layer := tally.next()) is not None:
                    reader.fetch(layer, blobs, partial(tally.set, layer))

        async with _reporting(tally, on_progress):
            await in_threads(work, min(CONNECTIONS, len(distinct)))
        return [blobs.path(layer.digest) for layer in layers]


class _Tally:
    """Which layer is next, and how many bytes there are of each: what the threads of one fetch share."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        # The largest first: it is what the others would wait for at the end.
        self._queue = sorted(layers, key=lambda layer: layer.size)
        self._done = dict.fromkeys(layers, 0)
        self._lock = threading.Lock()
        self.total = sum(layer.size for layer in layers)

    def next(self) -> Layer | None:
        with self._lock:
            return self._queue.pop() if self._queue else None

    def set(self, layer: Layer, done: int) -> None:
        self._done[layer] = done

    @property
    def done(self) -> int:
        return sum(self._done.values())


def open_source(
    text: str, settings: RegistrySettings, clock: Clock, credentials: Credentials | None = None
) -> ImageSource:
    """Read what the user wrote. Nothing is opened or asked yet. Raises SpecError.

    Without `credentials`, those that the user's files and helpers have are used when a registry wants some.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in {"oci", "docker-archive"}:
        path, _, wanted = rest.partition(":")
        if not path:
            raise SpecError(f"{kind}: needs a path", hint=f"{kind}:./PATH")
        file = Path(path).absolute()
        full = f"{kind}:{file}" + (f":{wanted}" if wanted else "")
        if kind == "oci":
            return ImageSource(
                text,
                _file_name(wanted, file),
                lambda stop, _: Layout(file, wanted or None, stop),
                full=full,
                file=file / "index.json",
            )
        name = _archive_name(wanted, file)
        return ImageSource(text, name, lambda stop, _: Archive(file, wanted or None, stop), full=full, file=file)
    reference = parse_reference(text)
    found = credentials or FileCredentials(settings.environ, helper_asker(settings.environ, settings.patience.helper_s))
    return _of_registry(text, reference, settings, clock, Authorizer(found))


def _of_registry(
    text: str, reference: Reference, settings: RegistrySettings, clock: Clock, authorizer: Authorizer
) -> ImageSource:
    def open_reader(stop: Stop, digest: Digest | None) -> Registry:
        wanted = reference if digest is None else replace(reference, digest=digest)
        return Registry(wanted, settings, authorizer, clock, stop)

    return ImageSource(text, reference.image_name, open_reader, full=str(reference))


def _file_name(wanted: str, file: Path) -> str:
    """The name of an image in a file: that of the file without its endings, and what was wanted of it."""
    if wanted:
        return image_name_of(f"{file.name.partition('.')[0]}-{wanted}")
    return image_name_of(file.name.partition(".")[0] or "image")


def _archive_name(wanted: str, file: Path) -> str:
    return parse_reference(wanted).image_name if wanted and not wanted.startswith("@") else _file_name("", file)


async def in_thread(work: Callable[[Stop], _Result]) -> _Result:
    """Run blocking work in a thread; on cancellation it is told to stop, and waited for."""
    results: list[_Result] = []
    await in_threads(lambda stop: results.append(work(stop)), 1)
    return results[0]


async def in_threads(work: Callable[[Stop], None], count: int) -> None:
    """Run blocking work in several threads at once. The first error stops the others, and is raised."""
    stop = Stop()
    failures: list[Exception] = []
    limiter = anyio.CapacityLimiter(max(1, count))

    async def one() -> None:
        try:
            await anyio.to_thread.run_sync(work, stop, limiter=limiter)
        except StoppedError:
            pass
        except Exception as error:  # noqa: BLE001 - raised below, when the others have ended
            failures.append(error)
            stop.set()

    async def stop_when_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            stop.set()

    async with anyio.create_task_group() as watching:
        watching.start_soon(stop_when_cancelled)
        async with anyio.create_task_group() as working:
            for _ in range(count):
                working.start_soon(one)
        watching.cancel_scope.cancel()
    if failures:
        raise failures[0]


@asynccontextmanager
async def _reporting(tally: _Tally, on_progress: Progress | None) -> AsyncIterator[None]:
    if on_progress is None:
        yield
        return

    async def report() -> None:
        while True:
            on_progress(tally.done, tally.total)
            await anyio.sleep(_REPORT_S)

    failure: BaseException | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(report)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, as itself and not in a group
            failure = error
        group.cancel_scope.cancel()
    on_progress(tally.done, tally.total)
    if failure is not None:
        raise failure
