"""Fetch pinned packages into files named by their sha256.

apt's own downloader does it (`apt-helper download-file`): the same proxies, certificates and URI schemes as the
machine's apt, pipelining and resumption. Every file is hashed again here before it gets its name.
"""

import contextlib
import hashlib
import os
import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

import anyio
import anyio.to_thread

from banger.debian.alongside import alongside
from banger.debian.aptroot import AptRoot
from banger.debian.values import Archive, PackagePin, check_pin
from banger.model.errors import HostError, TransientError

Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all: bytes of packages, or packages set up."""

CONNECTIONS = 4
TRIES = 4
_BATCH = 12
_BATCH_S = 900
_BACKOFF_CAP_S = 20.0
_TICK_S = 0.2
_CHUNK_BYTES = 1024 * 1024
_TAIL_CHARS = 1000
_MISMATCH = re.compile(r"Failed to fetch (\S+)\s+Hash Sum mismatch")
_HELPERS = (Path("/usr/lib/apt/apt-helper"), Path("/usr/libexec/apt/apt-helper"))


async def fetch(
    archive: Archive, pins: Sequence[PackagePin], dest_dir: Path, on_progress: Progress | None = None
) -> dict[str, Path]:
    """Fetch the packages and return name to file; a file is `dest_dir`/SHA256, complete and verified.

    Files of an earlier call are verified and kept. Raises TransientError when the archive cannot be reached, HostError
    when it has other content than was pinned; each after `TRIES` tries over all mirrors, naming the packages.
    """
    work = _Fetch(archive, [check_pin(pin) for pin in pins], dest_dir)
    await work.run(on_progress or (lambda _done, _total: None))
    return {pin.name: dest_dir / pin.sha256 for pin in pins}


class _Fetch:
    """One call of `fetch`: the pins still missing, and what was wrong with each."""

    def __init__(self, archive: Archive, pins: Sequence[PackagePin], dest_dir: Path) -> None:
        self._archive = archive
        self._dest = dest_dir
        self._incoming = dest_dir / ".incoming"
        self._missing = {pin.sha256: pin for pin in pins}
        self._total = sum(pin.size for pin in self._missing.values())
        self._done_bytes = 0
        self._faults: dict[str, str] = {}
        self._forged: set[str] = set()

    async def run(self, on_progress: Progress) -> None:
        self._incoming.mkdir(parents=True, exist_ok=True)
        for pin in self._missing.values():
            self._uri(pin, 0)
        for pin in list(self._missing.values()):
            if await anyio.to_thread.run_sync(_matches, self._dest / pin.sha256, pin):
                self._finish(pin)
        if self._missing:
            apt = await AptRoot.make(self._incoming / "apt")
            async with alongside(partial(self._report, on_progress)):
                await self._tries(apt)
        on_progress(self._total, self._total)
        self._raise_if_missing()

    async def _tries(self, apt: AptRoot) -> None:
        for attempt in range(TRIES):
            if attempt:
                # Full jitter, so that many machines behind one proxy do not come back together.
                await anyio.sleep(random.uniform(0, min(_BACKOFF_CAP_S, 2.0**attempt)))  # noqa: S311
            await self._once(apt, attempt)
            if not self._missing:
                return

    async def _once(self, apt: AptRoot, attempt: int) -> None:
        limit = anyio.CapacityLimiter(CONNECTIONS)
        # By size, so that no batch has all of the large ones.
        pins = sorted(self._missing.values(), key=lambda pin: (-pin.size, pin.name))
        count = max(CONNECTIONS, -(-len(pins) // _BATCH))
        async with anyio.create_task_group() as group:
            for batch in (pins[index::count] for index in range(min(count, len(pins)))):
                group.start_soon(self._batch, apt, batch, attempt, limit)

    async def _batch(self, apt: AptRoot, batch: list[PackagePin], attempt: int, limit: anyio.CapacityLimiter) -> None:
        words: list[str] = [str(_helper()), "-q", "download-file"]
        for pin in batch:
            words += [self._uri(pin, attempt), str(self._incoming / pin.sha256), f"SHA256:{pin.sha256}"]
        async with limit:
            try:
                done = await apt.run(words, deadline_s=_BATCH_S)
                said = done.stderr.decode(errors="replace").strip()
            except HostError as error:
                said = error.message
        mismatched = [unquote(uri) for uri in _MISMATCH.findall(said)]
        for pin in batch:
            if any(uri.endswith(f"/{pin.filename}") for uri in mismatched):
                self._forged.add(pin.sha256)
            if await anyio.to_thread.run_sync(self._take, pin):
                self._finish(pin)
            else:
                self._faults[pin.sha256] = said[-_TAIL_CHARS:]

    def _take(self, pin: PackagePin) -> bool:
        """Move a file that arrived whole to its name. apt leaves a symbolic link where the archive is a directory."""
        arrived, dest = self._incoming / pin.sha256, self._dest / pin.sha256
        if not arrived.exists():
            return False
        if not _matches(arrived, pin):
            if arrived.stat().st_size >= pin.size:
                self._forged.add(pin.sha256)
                arrived.unlink()
            return False
        if arrived.is_symlink():
            own = self._incoming / f"{pin.sha256}.copy"
            own.write_bytes(arrived.read_bytes())
            arrived.unlink()
            # The directory is somebody else's: what was copied counts, not what was looked at.
            if not _matches(own, pin):
                return False
            own.replace(dest)
        else:
            arrived.replace(dest)
        return True

    def _uri(self, pin: PackagePin, attempt: int) -> str:
        bases = [source.uri for source in self._archive.sources if source.security == pin.security]
        if not bases:
            raise HostError(f"package {pin.name}: {self._archive.origin} has no repository for it")
        return f"{bases[attempt % len(bases)]}/{quote(pin.filename, safe='/+')}"

    def _finish(self, pin: PackagePin) -> None:
        self._done_bytes += pin.size
        self._missing.pop(pin.sha256, None)

    async def _report(self, on_progress: Progress) -> None:
        while True:
            arrived = sum(_size(self._incoming / sha256) for sha256 in self._missing)
            on_progress(min(self._total, self._done_bytes + arrived), self._total)
            await anyio.sleep(_TICK_S)

    def _raise_if_missing(self) -> None:
        if not self._missing:
            return
        names = ", ".join(sorted(pin.name for pin in self._missing.values()))
        said = next((text for text in self._faults.values() if text), "no reason was given")
        if self._forged & set(self._missing):
            raise HostError(
                f"{names}: {self._archive.origin} has other content than the sha256 that was pinned:\n{said}",
                hint="run again to ask the archive anew, or set another archive",
            )
        raise TransientError(f"{names}: not fetched from {self._archive.origin}:\n{said}")


def _matches(path: Path, pin: PackagePin) -> bool:
    if _size(path) != pin.size:
        return False
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest() == pin.sha256


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _helper() -> Path:
    for path in _HELPERS:
        if os.access(path, os.X_OK):
            return path
    raise HostError(f"{_HELPERS[0]}: not found on this machine", hint="sudo apt-get install apt")
