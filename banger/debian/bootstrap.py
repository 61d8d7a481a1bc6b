"""Make a root filesystem from exactly the packages of a lock, offline, as a tar whose bytes depend on nothing else.

mmdebstrap does it, from a throw-away repository whose index is written here. That index needs no signature: each file
in it is the one that the signed archive vouched for, by sha256. No network, and nothing outside of the scratch
directory: a bootstrap that is killed leaves no process, no mount, and only files that `remove_scratch` removes.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import quote

import anyio
import anyio.to_thread

from banger.debian import recipe
from banger.debian.alongside import alongside
from banger.debian.fetch import Progress
from banger.debian.namespaces import check_namespaces, namespace_argv, remove_scratch, tool_environment
from banger.debian.package import build_date
from banger.debian.repository import read_installed, write_repository
from banger.debian.values import Lock
from banger.host.process import run
from banger.host.tools import get_tool
from banger.model.errors import HostError

DEADLINE_S = 1800
_TICK_S = 0.5
_TAIL_LINES = 12
_TREE_BYTES = 1024**3
_TREE_PER_PACKAGE_BYTE = 8
"""The tree takes 3 bytes for each byte of its packages, and their copies one more; the rest is reserve."""


async def bootstrap(
    debs: Mapping[str, Path],
    lock: Lock,
    dest_tar: Path,
    scratch_dir: Path,
    on_progress: Progress | None = None,
    *,
    guest_sources: str = "",
    in_memory: bool | None = None,
) -> int:
    """Write the root filesystem of `lock` to `dest_tar`, an uncompressed tar; progress is in packages set up.

    `debs` maps each package to its verified file. `guest_sources` becomes the guest's /etc/apt/sources.list.
    The tree grows in memory where that is plentiful (None: see /proc/meminfo): otherwise dpkg waits for the disk
    after every package. `scratch_dir` needs about 0.6 GB, holds only this work and is gone afterwards; it and
    `dest_tar` share a filesystem. Times in the tar are at most the newest build date of a package, so the same lock
    gives the same bytes: for root or a user, in memory or on disk, today and in a year. Returns that date, in seconds
    since 1970. Raises HostError.
    """
    await check_namespaces()
    needed_bytes = max(_TREE_BYTES, _TREE_PER_PACKAGE_BYTE * lock.size)
    if in_memory is None:
        in_memory = available_memory(Path("/proc/meminfo")) >= 2 * needed_bytes
    values = recipe.hook_environment(lock.architecture, guest_sources)
    values["BANGER_MEMORY"] = str(needed_bytes) if in_memory else ""
    try:
        return await _in_scratch(debs, lock, dest_tar, scratch_dir, on_progress, values)
    finally:
        with anyio.CancelScope(shield=True):
            await remove_scratch(scratch_dir)


async def _in_scratch(
    debs: Mapping[str, Path],
    lock: Lock,
    dest_tar: Path,
    scratch_dir: Path,
    on_progress: Progress | None,
    values: Mapping[str, str],
) -> int:
    scratch = Path.cwd() / scratch_dir
    temporary, repository = scratch / "tmp", scratch / "repository"
    for folder in (temporary, repository):
        folder.mkdir(parents=True)
    await anyio.to_thread.run_sync(write_repository, debs, lock, repository)
    newest = max(build_date(debs[pin.name]) for pin in lock.packages)
    environment = tool_environment(
        {
            "TMPDIR": str(temporary),
            "SOURCE_DATE_EPOCH": str(newest),
            **values,
        }
    )
    log, tar = scratch / "log", scratch / "root.tar"
    argv = namespace_argv(["sh", "-c", recipe.START, "sh", *_mmdebstrap(lock, log, tar, repository)])
    tell = on_progress or (lambda _done, _total: None)
    async with alongside(partial(_watch, log, len(lock.packages), tell)):
        done = await run(argv, deadline_s=DEADLINE_S, env=environment, cwd=scratch)
    if done.status != 0:
        raise HostError(f"mmdebstrap ended with exit status {done.status}:\n{_tail(log, done.stderr)}")
    await anyio.to_thread.run_sync(_check, tar, lock)
    tar.replace(dest_tar)
    tell(len(lock.packages), len(lock.packages))
    return newest


def _mmdebstrap(lock: Lock, log: Path, tar: Path, repository: Path) -> list[str]:
    return [
        str(get_tool("mmdebstrap")),
        "--mode=root",
        "--variant=minbase",
        "--format=tar",
        f"--architectures={lock.architecture}",
        f"--include={','.join(pin.name for pin in lock.packages)}",
        *(f"--aptopt={option}" for option in recipe.APT_OPTIONS),
        *(f"--dpkgopt={option}" for option in recipe.DPKG_OPTIONS),
        f"--setup-hook={recipe.SETUP_HOOK}",
        f"--customize-hook={recipe.FINISH_HOOK}",
        "--skip=check/signed-by",
        "--verbose",
        f"--logfile={log}",
        "",
        str(tar),
        f"deb [trusted=yes] copy:{quote(str(repository))} ./",
    ]


def available_memory(meminfo: Path) -> int:
    """Return MemAvailable in bytes (proc_meminfo(5)); 0 if it cannot be known."""
    for line in _lines(meminfo):
        name, _, value = line.partition(":")
        number = value.removesuffix("kB").strip()
        if name == "MemAvailable" and number.isdigit():
            return int(number) * 1024
    return 0


async def _watch(log: Path, total: int, on_progress: Progress) -> None:
    while True:
        set_up = {line for line in _lines(log) if line.startswith("Setting up ")}
        on_progress(min(len(set_up), total), total)
        await anyio.sleep(_TICK_S)


def _lines(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _tail(log: Path, stderr: bytes) -> str:
    lines = _lines(log) or stderr.decode(errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


def _check(tar: Path, lock: Lock) -> None:
    """Refuse a tree that has other packages than the lock."""
    installed = read_installed(tar)
    wanted = {(pin.name, pin.version, pin.architecture) for pin in lock.packages}
    if installed != wanted:
        names = ", ".join(sorted(name for name, _version, _architecture in installed ^ wanted))
        raise HostError(f"mmdebstrap installed other packages than the lock has: {names}")
