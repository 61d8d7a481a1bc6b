"""What a power cut may leave of a traced workload, after ALICE (OSDI '14) and CrashMonkey (OSDI '18).

The model knows POSIX and no more: a write is there for sure once its file was synced, a name once its directory was.
Until then each may be there or not, in any order, and the last write may be torn. Two things stay in order: changes of
the same name, and a directory before what is in it.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.strace import Call

TRACED = (
    "openat,close,write,pwrite64,lseek,ftruncate,fallocate,copy_file_range,fsync,fdatasync,mkdir,mkdirat,rmdir,"
    "link,linkat,unlink,unlinkat,rename,renameat,renameat2,dup,dup2"
)
ALL_SUBSETS = 5
"""Up to so many undecided changes, every subset is tried."""
SECTOR_BYTES = 512
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_UNIMPORTANT = ("-shm", "ballast")
"""SQLite makes its index of the WAL anew; the ballast is made again when it is missing."""
_HARMLESS = {"dup", "dup2", "close"}
_NAMING = {"mkdir", "mkdirat", "link", "linkat", "unlink", "unlinkat", "rename", "renameat", "renameat2"}


@dataclass(frozen=True, slots=True)
class Change:
    """One change: of names (path -> inode, -1 for a directory, None for no more), or of an inode's bytes or size."""

    names: tuple[tuple[str, int | None], ...] = ()
    inode: int = -1
    offset: int = 0
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """A barrier: of an inode, or of the names in a directory."""

    inode: int = -1
    directory: str | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """The workload says that one more operation is done."""


@dataclass(slots=True)
class Trace:
    """A workload as its changes, over the files that were there when it began."""

    base_names: dict[str, int] = field(default_factory=dict)
    base_bytes: dict[int, bytes] = field(default_factory=dict)
    steps: list[Change | Sync | Ack] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CrashState:
    """One possible outcome: which steps are there, whether the last one only in part, and what had been promised."""

    applied: tuple[int, ...]
    torn: bool
    acknowledged: int


def unhex(arguments: str) -> list[bytes]:
    """Every string argument of a call that was traced with -xx."""
    return [bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(arguments)]


class Reader:
    """Turns system calls below one directory into changes."""

    def __init__(self, root: Path, base: Path | None) -> None:
        self._root = f"{root}/"
        self.trace = Trace()
        self._names: dict[str, int] = {"": -1}
        self._fds: dict[int, int | str] = {}
        self._offsets: dict[int, int] = {}
        self._inodes = itertools.count(1)
        for path in sorted(base.rglob("*")) if base else ():
            if path.name.endswith(_UNIMPORTANT):
                continue
            name = str(path.relative_to(base)) if base else ""
            self._names[name] = -1 if path.is_dir() else next(self._inodes)
            if path.is_file():
                self.trace.base_bytes[self._names[name]] = path.read_bytes()
        self.trace.base_names = dict(self._names)

    def take(self, call: Call) -> None:
        """Take one call in."""
        if call.result < 0:
            return
        strings = unhex(call.arguments)
        paths = [self._name(one) for one in strings]
        match call.name:
            case "openat":
                self._open(call, paths[0])
            case "write" | "pwrite64":
                self._write(call, strings[0])
            case "lseek":
                self._offsets[_fd(call)] = call.result
            case "ftruncate":
                self._resize(_fd(call), int(call.arguments.rsplit(",", 1)[1]))
            case "fsync" | "fdatasync":
                self._sync(_fd(call))
            case "fallocate" if _fd(call) not in self._fds:
                return
            case name:
                assert name in _HARMLESS or name in _NAMING, f"the model does not know {name}"
                self._names_changed(name, paths)

    def _names_changed(self, call: str, paths: Sequence[str | None]) -> None:
        known = [path for path in paths if path is not None]
        if len(known) != len(paths):  # not below our directory
            return
        match call:
            case "mkdir" | "mkdirat":
                self._rename({known[0]: -1})
            case "link" | "linkat":
                self._rename({known[1]: self._names[known[0]]})
            case "unlink" | "unlinkat":
                self._rename({known[0]: None})
            case "rename" | "renameat" | "renameat2":
                self._rename({known[0]: None, known[1]: self._names[known[0]]})
            case _:
                pass

    def _name(self, path: bytes) -> str | None:
        text = path.decode(errors="replace")
        if text == self._root[:-1]:
            return ""
        return text.removeprefix(self._root) if text.startswith(self._root) else None

    def _open(self, call: Call, path: str | None) -> None:
        self._fds.pop(call.result, None)
        self._offsets[call.result] = 0
        if path is None or path.endswith(_UNIMPORTANT):
            return
        if path not in self._names:
            self._rename({path: next(self._inodes)})
        inode = self._names[path]
        self._fds[call.result] = path if inode == -1 else inode
        if "O_TRUNC" in call.arguments:
            self._resize(call.result, 0)

    def _write(self, call: Call, data: bytes) -> None:
        fd = _fd(call)
        if fd == 1 and data.startswith(b"ack"):
            self.trace.steps.append(Ack())
        inode = self._fds.get(fd)
        if not isinstance(inode, int):
            return
        offset = self._offsets[fd]
        if call.name == "pwrite64":
            offset = int(call.arguments.rsplit(",", 1)[1])
        else:
            self._offsets[fd] = offset + call.result
        self.trace.steps.append(Change(inode=inode, offset=offset, data=data[: call.result]))

    def _resize(self, fd: int, size: int) -> None:
        inode = self._fds.get(fd)
        if isinstance(inode, int):
            self.trace.steps.append(Change(inode=inode, offset=size))

    def _sync(self, fd: int) -> None:
        target = self._fds.get(fd)
        if isinstance(target, str):
            self.trace.steps.append(Sync(directory=target))
        elif target is not None:
            self.trace.steps.append(Sync(inode=target))

    def _rename(self, names: dict[str, int | None]) -> None:
        if any(name.endswith(_UNIMPORTANT) for name in names):
            return
        for name, inode in names.items():
            if inode is None:
                self._names.pop(name)
            else:
                self._names[name] = inode
        self.trace.steps.append(Change(names=tuple(names.items())))


def crash_states(trace: Trace, *, after_acks: int = 0) -> Iterator[CrashState]:
    """Every outcome of a cut after each step that follows the `after_acks`-th acknowledgement, each once."""
    seen: set[CrashState] = set()
    acknowledged = 0
    for cut in range(len(trace.steps) + 1):
        if cut and isinstance(trace.steps[cut - 1], Ack):
            acknowledged += 1
        if acknowledged < after_acks:
            continue
        for state in _outcomes(trace.steps, cut, acknowledged):
            if state not in seen:
                seen.add(state)
                yield state


def _outcomes(steps: Sequence[Change | Sync | Ack], cut: int, acknowledged: int) -> Iterator[CrashState]:
    changes = [number for number in range(cut) if isinstance(steps[number], Change)]
    open_ones = [number for number in changes if not _is_durable(steps, number, cut)]
    sure = set(changes) - set(open_ones)
    for subset in _subsets(open_ones):
        applied = tuple(sorted(sure | _with_what_they_need(steps, subset, open_ones)))
        yield CrashState(applied, False, acknowledged)
    if open_ones and isinstance(last := steps[open_ones[-1]], Change) and last.data and len(last.data) > 1:
        yield CrashState(tuple(changes), True, acknowledged)


def _subsets(open_ones: list[int]) -> Iterator[set[int]]:
    everything = set(open_ones)
    if len(open_ones) <= ALL_SUBSETS:
        for count in range(len(open_ones) + 1):
            yield from map(set, itertools.combinations(open_ones, count))
        return
    yield everything
    yield set()
    for one in open_ones:
        yield everything - {one}
        yield {one}
    for one, other in itertools.combinations(open_ones, 2):
        yield everything - {one, other}


def _is_durable(steps: Sequence[Change | Sync | Ack], number: int, cut: int) -> bool:
    change = steps[number]
    assert isinstance(change, Change)
    directories = {_parent(name) for name, _ in change.names}
    for step in steps[number + 1 : cut]:
        if isinstance(step, Sync) and (step.directory in directories if change.names else step.inode == change.inode):
            return True
    return False


def _with_what_they_need(steps: Sequence[Change | Sync | Ack], subset: set[int], open_ones: list[int]) -> set[int]:
    """A change of a name needs the earlier changes of that name, and the directory that it is in."""
    needed = set(subset)
    for number in sorted(subset, reverse=True):
        stack = [number]
        while stack:
            change = steps[stack.pop()]
            assert isinstance(change, Change)
            names = {name for name, _ in change.names}
            names |= {_parent(name) for name in names}
            for earlier in open_ones:
                other = steps[earlier]
                assert isinstance(other, Change)
                if earlier < number and earlier not in needed and any(name in names for name, _ in other.names):
                    needed.add(earlier)
                    stack.append(earlier)
    return needed


def build(trace: Trace, state: CrashState, root: Path) -> None:
    """Make the files of one outcome below `root`, which is empty."""
    names: dict[str, int] = dict(trace.base_names)
    contents = {inode: bytearray(data) for inode, data in trace.base_bytes.items()}
    for number in state.applied:
        change = trace.steps[number]
        assert isinstance(change, Change)
        for name, inode in change.names:
            if inode is None:
                names.pop(name, None)
            else:
                names[name] = inode
        if not change.names:
            _apply(
                contents.setdefault(change.inode, bytearray()), change, torn=state.torn and number == state.applied[-1]
            )
    for name, inode in sorted(names.items()):
        path = root / name
        if inode == -1:
            path.mkdir(exist_ok=True)
        elif path.parent.is_dir():
            path.write_bytes(contents.get(inode, b""))


def _apply(content: bytearray, change: Change, *, torn: bool) -> None:
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    half = len(change.data) // 2 // SECTOR_BYTES * SECTOR_BYTES or len(change.data) // 2
    data = change.data[:half] if torn else change.data
    content.extend(bytes(max(0, change.offset + len(data) - len(content))))
    content[change.offset : change.offset + len(data)] = data


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _fd(call: Call) -> int:
    return int(call.arguments.split(",", 1)[0])
