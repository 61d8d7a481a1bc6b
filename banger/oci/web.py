"""Fetch one file by URL, known by its sha256: the same transfers as a registry's blobs, without a registry.

https anywhere, plain http on this machine, `file:` for what lies here. Goes on after a cut, honours Retry-After, ends a
stall, and gives the file its name only after every byte was hashed. Nobody is told a password: there is none.
"""

import os
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import anyio

from banger.model.clock import Clock
from banger.model.errors import BangerError, HostError, NotFoundError
from banger.oci.blobs import BlobDir, Count
from banger.oci.download import Fetch
from banger.oci.errors import RegistryError, UnavailableError
from banger.oci.registry import RegistrySettings
from banger.oci.retry import Retry, retry_after
from banger.oci.source import in_thread
from banger.oci.transport import Answer, Transport
from banger.oci.urls import origin_of
from banger.oci.values import Layer, Progress
from banger.oci.watch import Stop, Watch

_REPORT_S = 0.2
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_GONE = frozenset({404, 410})
_FINE = frozenset({200, 206, 416})


async def fetch_file(
    urls: Sequence[str],
    layer: Layer,
    blobs: BlobDir,
    settings: RegistrySettings,
    clock: Clock,
    on_progress: Progress,
) -> Path:
    """Have a file, of which only digest and size count, in `blobs`, from the first URL that gives it.

    Raises NotFoundError, TransientError, DeadlineError, ContentError (other bytes), RegistryError and HostError: that
    of the last URL, with what was wrong with the others in its message. What a cut or Ctrl-C left is gone on from.
    """
    there = 0

    def count(done: int) -> None:
        nonlocal there
        there = done

    async def report() -> None:
        while True:
            on_progress(there, layer.size)
            await anyio.sleep(_REPORT_S)

    found: list[Path] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(report)
        try:
            found.append(await in_thread(lambda stop: _fetch(urls, layer, blobs, settings, clock, stop, count)))
        except Exception as error:  # noqa: BLE001 - raised below, as itself and not in a group
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return found[0]


def _fetch(
    urls: Sequence[str],
    layer: Layer,
    blobs: BlobDir,
    settings: RegistrySettings,
    clock: Clock,
    stop: Stop,
    count: Count,
) -> Path:
    watch = Watch(settings.patience, clock, stop)
    faults: list[str] = []
    with closing(Transport(watch, lambda: settings.tls, settings.environ)) as transport:
        for number, url in enumerate(urls):
            fetch = Fetch(layer, blobs, watch, Retry(settings.patience, clock, stop.wait, settings.jitter), count)
            try:
                if (path := fetch.find()) is not None:
                    return path
                if urlsplit(url).scheme == "file":
                    return _copy(url, layer, blobs, stop, count)
                _check(url)
                return fetch.run(partial(_open, transport, url), settings.patience.tries)
            except BangerError as error:
                if number == len(urls) - 1:
                    _tell(error, faults)
                    raise
                faults.append(error.message)
    raise NotFoundError(f"{layer.digest}: nobody says where it can be had")


def _check(url: str) -> None:
    origin = origin_of(url)
    if origin.scheme == "http" and not origin.is_loopback:
        raise RegistryError(f"{origin}: plain http only on this machine", hint="use https://")


def _tell(error: BangerError, faults: list[str]) -> None:
    if faults:
        error.message = "; before that, ".join([error.message, *faults])
        error.args = (error.message,)


def _open(transport: Transport, url: str, headers: dict[str, str]) -> Answer:
    answer = transport.request("GET", url, headers)
    if answer.status in _FINE:
        return answer
    with answer:
        name = urlsplit(url).path.rpartition("/")[2]
        said = f"{answer.origin}: {name}: answers {answer.status}"
        if answer.status in _GONE:
            raise NotFoundError(f"{answer.origin}: {name}: not there")
        if answer.status in _PASSING:
            raise UnavailableError(said, retry_after(answer.header("retry-after"), transport.watch.clock))
        raise RegistryError(said)


def _copy(url: str, layer: Layer, blobs: BlobDir, stop: Stop, count: Count) -> Path:
    source = unquote(urlsplit(url).path)
    try:
        fd = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotFoundError(f"{source}: {error.strerror}") from error
    try:
        with blobs.write(layer.digest, layer.size, stop.wait) as partial_file:
            partial_file.restart()
            partial_file.need_space()

            def read(limit: int) -> bytes:
                stop.check()
                return os.read(fd, limit)

            partial_file.pour(read, count)
            return partial_file.commit()
    except OSError as error:
        raise HostError(f"{source}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            os.close(fd)
