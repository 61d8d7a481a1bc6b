"""Find what an entry of file_sync names: files and directories below the user's home, opened so that no link, however
quickly it is put there, leads outside.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from banger.host.openat2 import open_beneath
from banger.model.config import FileSync
from banger.model.config_values import AUTHORIZED_KEYS
from banger.model.errors import BangerError, ConflictError, HostError, SpecError

FILES_LIMIT = 100_000
TOTAL_LIMIT_BYTES = 4 * 1024**3
SKIPPED_LINK = "file_sync skipped symlink (would escape the requested tree)"
_MISSING = (errno.ENOENT, errno.ENOTDIR)
_SWAPPED = (errno.ELOOP, errno.EXDEV, errno.ENOENT, errno.ENOTDIR)
_NO_FILE = (errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP)  # what a socket or a device without a driver says
_SSH_FOLDER = os.path.dirname(AUTHORIZED_KEYS)  # noqa: PTH120 - a path of the guest's

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Item:
    """A file or directory to be copied. `descriptor` is open until the next item is asked for."""

    guest: str
    host: str
    descriptor: int
    status: os.stat_result
    mode: int

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return stat.S_ISDIR(self.status.st_mode)


def walk(entries: tuple[FileSync, ...], home: str, warn: Warn) -> Iterator[Item]:
    """Yield all that the entries name, directories before what is in them.

    Raises SpecError that names an entry which leads out of the home or to what is no file, or asks for too much;
    HostError for what cannot be read; ConflictError for what changes meanwhile.
    """
    real_home = os.path.realpath(home)
    room = _Room()
    with _held(real_home) as below:
        for number, entry in enumerate(entries):
            where = f"file_sync[{number}]: {entry.host}"
            inside = _inside(entry, home, real_home, where)
            if inside is None:
                warn(f"file_sync skipped {entry.host}: it is not there")
                continue
            for item in _entry(entry, below, inside, where, warn):
                room.take(item, where)
                yield item


class _Room:
    """How much may still be copied."""

    def __init__(self) -> None:
        self._files = 0
        self._bytes = 0

    def take(self, item: Item, where: str) -> None:
        self._files += 1
        self._bytes += 0 if item.is_directory else item.status.st_size
        if self._files > FILES_LIMIT:
            raise SpecError(f"{where}: more than {FILES_LIMIT} files for one VM", hint="banger config show")
        if self._bytes > TOTAL_LIMIT_BYTES:
            limit = TOTAL_LIMIT_BYTES // 1024**3
            raise SpecError(f"{where}: more than {limit} GiB for one VM, with {item.host}", hint="banger config show")


def _inside(entry: FileSync, home: str, real_home: str, where: str) -> str | None:
    """The path of what an entry leads to, relative to the home, with every link followed; None if it is not there."""
    path = f"{home}/{entry.host[2:]}" if entry.host.startswith("~/") else entry.host
    try:
        os.stat(path)  # noqa: PTH116 - as it is written, and not as a Path would tidy it up
        real = os.path.realpath(path, strict=True)
    except OSError as error:
        if error.errno in _MISSING:
            return None
        if error.errno == errno.EINVAL:  # what was a link when it was looked at is none any more
            raise ConflictError(f"{where} changed while it was read", hint="try again") from error
        raise HostError(f"{where}: {error.strerror}", hint=f"ls -ld {path}") from error
    if real == real_home:
        raise SpecError(f"{where} is all of your home: name something in it", hint="banger config show")
    if not real.startswith(f"{real_home.rstrip('/')}/"):
        leads = f" leads to {real}, which" if real != path else ""
        raise SpecError(f"{where}{leads} is not in your home, {real_home}", hint="banger config show")
    return os.path.relpath(real, real_home)


def _entry(entry: FileSync, home: int, inside: str, where: str, warn: Warn) -> Iterator[Item]:
    with _beneath(home, inside, where) as descriptor:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            _check_links(status, where)
            yield Item(entry.guest, entry.host, descriptor, status, 0o600 if entry.mode is None else entry.mode)
        elif stat.S_ISDIR(status.st_mode):
            yield from _directory(entry, descriptor, where, warn)
        else:
            raise SpecError(f"{where} is neither a file nor a directory", hint="banger config show")


def _directory(entry: FileSync, top: int, where: str, warn: Warn) -> Iterator[Item]:
    """All in a directory. Every name is opened from the top again: no path that has been checked is used twice."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with _beneath(top, below or ".", f"{where}: {below!r}") as descriptor:
            guest, host = _joined(entry.guest, below), _joined(entry.host, below)
            status = os.fstat(descriptor)
            if guest != _SSH_FOLDER:  # which is there, with the mode that sshd insists on
                yield Item(guest, host, descriptor, status, stat.S_IMODE(status.st_mode) & 0o777)
            folders = []
            for name in sorted(_names(descriptor, f"{where}: {below!r}")):
                to, source = f"{guest}/{name}", _joined(host, name)
                kind = _kind(descriptor, name, f"{where}: {source!r}")
                if kind == stat.S_IFDIR:
                    folders.append(_joined(below, name) if below else name)
                elif _is_wanted(kind, to, source, warn):
                    yield from _file(descriptor, name, to, source, where)
            waiting += reversed(folders)


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if name else folder


def _is_wanted(kind: int, guest: str, host: str, warn: Warn) -> bool:
    if kind == stat.S_IFLNK:
        warn(f"{SKIPPED_LINK}: {host!r}")
    elif kind != stat.S_IFREG:
        warn(f"file_sync skipped what is no file: {host!r}")
    elif guest == AUTHORIZED_KEYS:
        warn(f"file_sync skipped {host!r}: the guest's authorized_keys has the key that banger logs in with")
    else:
        return True
    return False


def _file(folder: int, name: str, guest: str, host: str, where: str) -> Iterator[Item]:
    with _beneath(folder, name, f"{where}: {host!r}") as descriptor:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConflictError(f"{where}: {host!r} changed while it was read", hint="try again")
        _check_links(status, f"{where}: {host!r}")
        yield Item(guest, host, descriptor, status, stat.S_IMODE(status.st_mode) & 0o777)


def _check_links(status: os.stat_result, where: str) -> None:
    """A hard link to a file of somebody else's could have been put there by them."""
    if status.st_nlink > 1 and status.st_uid != os.geteuid():
        raise SpecError(f"{where} has another name elsewhere, and belongs to uid {status.st_uid}")


def _names(descriptor: int, where: str) -> list[str]:
    try:
        names = os.listdir(descriptor)
    except OSError as error:
        raise _refusal(error, where) from error
    if len(names) > FILES_LIMIT:
        raise SpecError(f"{where}: more than {FILES_LIMIT} files for one VM", hint="banger config show")
    return names


def _kind(folder: int, name: str, where: str) -> int:
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError as error:
        raise _refusal(error, where) from error


@contextmanager
def _beneath(folder: int, path: str, where: str) -> Iterator[int]:
    try:
        descriptor = open_beneath(folder, path)
    except OSError as error:
        raise _refusal(error, where) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _held(path: str) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refusal(error: OSError, where: str) -> BangerError:
    if error.errno in _SWAPPED:
        return ConflictError(f"{where} changed while it was read", hint="try again")
    if error.errno in _NO_FILE:
        return SpecError(f"{where} is neither a file nor a directory", hint="banger config show")
    return HostError(f"{where}: {error.strerror}", hint="banger config show")
