"""Confine a child before it runs a program: named paths only, no network, bounded resources, no new privileges.

Landlock (Documentation/userspace-api/landlock.rst) rules the paths; a seccomp filter refuses what Landlock cannot see:
sockets of any family, other processes' memory and, where nothing may be written, changes of mode, owner and times.
Everything that can fail or allocate happens in the parent. What is left for the child, between fork and exec, is a few
system calls on values that are ready: it imports nothing, logs nothing and takes no lock that another thread could
have held at the fork (fork happens under the interpreter's lock, and the C library resets its own), so `preexec_fn` is
safe in a program with threads. A child whose confinement fails never runs the program. A launcher in Python would
add 30 ms to each call.

Without Landlock there is no confinement and no run: HostError. Linux 5.13 to 6.1 (Landlock 1 to 2; Debian 12 has 2) do
not rule truncate(2), and before 6.7 (Landlock 4) not TCP: the filter refuses both on every kernel. Signals to
other processes are ruled from Landlock 6 on. The filter knows x86-64 and arm64; elsewhere: HostError.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from banger.model.errors import HostError

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEV
_SINCE = {1: (1 << 13) - 1, 2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV}
_NET_SINCE, _TCP = 4, 3
_SCOPE_SINCE, _SIGNALS_AND_ABSTRACT_SOCKETS = 6, 3

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_CREATE_RULESET_VERSION, _RULE_PATH_BENEATH = 1, 1
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2

_NULL = Path("/dev/null")
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a child, as in setrlimit(2). No limit of processes: the kernel counts all of the user's."""

    cpu_s: int
    file_bytes: int
    memory_bytes: int = 8 << 30
    descriptors: int = 256


@dataclass(frozen=True, slots=True)
class _Architecture:
    audit: int
    foreign: int | None
    """The first number of another ABI's calls under the same audit value (x32)."""
    reaching: tuple[int, ...]
    """socket, ptrace, process_vm_readv, process_vm_writev, io_uring_setup, pidfd_getfd."""
    changing: tuple[int, ...]
    """truncate; then the calls that change mode, owner, extended attributes and times."""


_ARCHITECTURES: Mapping[str, _Architecture] = {
    "x86_64": _Architecture(
        0xC000003E,
        0x40000000,
        (41, 101, 310, 311, 425, 438),
        (76, 90, 91, 92, 93, 94, 260, 268, 452, 188, 189, 190, 197, 198, 199, 463, 466, 132, 235, 261, 280),
    ),
    "aarch64": _Architecture(
        0xC00000B7,
        None,
        (198, 117, 270, 271, 425, 438),
        (45, 52, 53, 54, 55, 452, 5, 6, 7, 14, 15, 16, 463, 466, 88),
    ),
}
"""Numbers from arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h."""


def landlock_abi() -> int:
    """Return the kernel's Landlock version; 0 if it has none, or has it switched off."""
    version = _libc.syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION)
    )
    return max(int(version), 0)


@contextmanager
def confinement(
    *,
    limits: Limits,
    read: Iterable[Path] = (),
    execute: Iterable[Path] = (),
    write: Iterable[Path] = (),
    abi: int | None = None,
) -> Iterator[Callable[[], None]]:
    """Give a function for `preexec_fn` that confines the child; valid within the block.

    `read` and `write` are files, or directories with all that is beneath (`write` grants reading too); `execute` are
    the files that may be run, the dynamic loader among them. Symbolic links in the paths are followed here and now. A
    path that is not there is passed over; /dev/null is always there to read and write. Descriptors that the child
    inherits stay usable. `abi` can only lower what is asked of the kernel. Raises HostError if this kernel cannot
    confine.
    """
    version = min(landlock_abi(), abi) if abi is not None else landlock_abi()
    if version < 1:
        raise HostError(
            "this kernel has no Landlock, without which banger does not run programs on files it does not trust",
            hint="boot Linux 5.13 or later with landlock in the lsm= list of its command line",
        )
    written = list(write)
    program = _filter_program(read_only=not written)
    ruleset = _create_ruleset(version)
    try:
        for paths, rights in (
            (read, READ_FILE | READ_DIR),
            (execute, EXECUTE | READ_FILE),
            ([_NULL], READ_FILE | WRITE_FILE),
            (written, _rights(version) & ~(EXECUTE | _IOCTL_DEV)),
        ):
            for path in paths:
                _add_rule(ruleset, path, rights)
        yield _entry(ruleset, program, limits)
    finally:
        os.close(ruleset)


def _rights(version: int) -> int:
    return sum(rights for since, rights in _SINCE.items() if since <= version)


def _create_ruleset(version: int) -> int:
    """struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped; each kernel knows a prefix of it."""
    fields = [_rights(version)]
    if version >= _NET_SINCE:
        fields.append(_TCP)
    if version >= _SCOPE_SINCE:
        fields.append(_SIGNALS_AND_ABSTRACT_SOCKETS)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    descriptor = int(
        _libc.syscall(ctypes.c_long(_CREATE_RULESET), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    )
    if descriptor < 0:
        raise HostError(f"landlock_create_ruleset: {os.strerror(ctypes.get_errno())}")
    return descriptor


def _add_rule(ruleset: int, path: Path, rights: int) -> None:
    """struct landlock_path_beneath_attr: allowed_access, parent_fd; packed."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not path.is_dir():
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, descriptor)
        code = _libc.syscall(
            ctypes.c_long(_ADD_RULE),
            ctypes.c_int(ruleset),
            ctypes.c_int(_RULE_PATH_BENEATH),
            rule,
            ctypes.c_uint32(0),
        )
        if code != 0:
            raise HostError(f"landlock_add_rule {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _filter_program(*, read_only: bool) -> _SockFprog:
    """Write the filter as classic BPF over struct seccomp_data: the call's number at 0, the architecture at 4."""
    machine = platform.machine()
    architecture = _ARCHITECTURES.get(machine)
    if architecture is None:
        raise HostError(f"banger has no system call filter for {machine}: it cannot confine programs here")
    refused = architecture.reaching + (architecture.changing if read_only else ())
    load, equal, greater_equal, answer = 0x20, 0x15, 0x35, 0x06
    allow, kill, refuse = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
    code = [(load, 0, 0, 4), (equal, 1, 0, architecture.audit), (answer, 0, 0, kill), (load, 0, 0, 0)]
    if architecture.foreign is not None:
        code += [(greater_equal, 0, 1, architecture.foreign), (answer, 0, 0, kill)]
    code += [(equal, len(refused) - index, 0, number) for index, number in enumerate(refused)]
    code += [(answer, 0, 0, allow), (answer, 0, 0, refuse)]
    return _SockFprog(len(code), b"".join(struct.pack("=HBBI", *line) for line in code))


def _entry(ruleset: int, program: _SockFprog, limits: Limits) -> Callable[[], None]:
    bounds = (
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_NOFILE, limits.descriptors),
        (resource.RLIMIT_CORE, 0),
    )
    settings = [(which, _lowered(which, bound)) for which, bound in bounds]
    pointer = ctypes.byref(program)
    zero, one = ctypes.c_ulong(0), ctypes.c_ulong(1)
    restrict, descriptor, no_flags = ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0)
    killed, filtered = ctypes.c_ulong(signal.SIGKILL), ctypes.c_ulong(_SECCOMP_MODE_FILTER)

    def enter() -> None:
        for which, pair in settings:
            resource.setrlimit(which, pair)
        _checked(_libc.prctl(_PR_SET_PDEATHSIG, killed, zero, zero, zero))
        _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero))
        _checked(_libc.syscall(restrict, descriptor, no_flags))
        _checked(_libc.prctl(_PR_SET_SECCOMP, filtered, pointer, zero, zero))

    return enter


def _lowered(which: int, bound: int) -> tuple[int, int]:
    """Never ask for more than we have: only root may raise a hard limit."""
    hard = resource.getrlimit(which)[1]
    value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    return value, value


def _checked(code: int) -> None:
    if code != 0:
        raise OSError(ctypes.get_errno(), "confinement refused")
