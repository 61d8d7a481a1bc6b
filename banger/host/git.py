"""Read a repository that nobody vouches for with git, and run nothing of what the repository says.

A repository's own configuration names programs (fsmonitor, filters, hooks, pagers), other places (core.worktree,
alternates, includes) and files that never end (FIFOs). Three defences, each enough for most of that: git runs in a
Landlock child that reads the repository and the system's libraries and runs git's own binaries only; the caller says
where the repository is, git does not look; and every flag that switches such a thing off is set. Only commands that
need none of it are allowed. git's output goes to memory or a file that the kernel bounds, never to a pipe that could
stand still, and the child is killed at its deadline.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from banger.host.confined import wait_or_kill
from banger.host.elf import LIBRARIES, LOADER_CACHE, loader_of
from banger.host.landlock import Limits, confinement
from banger.host.process import Finished
from banger.host.tools import get_tool
from banger.model.errors import DeadlineError, HostError

DEADLINE_S = 10.0
OUTPUT_LIMIT_BYTES = 512 * 1024 * 1024
EMPTY_TREES = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}

_ALLOWED = (
    ("rev-parse",),
    ("ls-files", "-z", "--stage"),
    ("ls-files", "-z", "-o", "--exclude-standard"),
    ("cat-file", "-p"),
    ("cat-file", "--batch"),
    ("bundle", "create"),
)
_ALLOWED_IN_OURS = (
    ("index-pack", "--stdin", "--fix-thin", "--strict"),
    ("rev-list",),
    ("diff-tree", "-r", "--no-ext-diff", "--no-textconv"),
)
"""And in a repository that we made ourselves, whose configuration is ours: it is the only one that git may write to."""
_FORBIDDEN_WORDS = frozenset({"--filters", "--textconv", "-m", "--modified", "--parseopt", "--sq-quote"})
_SETTINGS = (
    "advice.graftFileDeprecated=false",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.preloadIndex=false",
    "core.packedGitWindowSize=64m",
    "core.packedGitLimit=1g",
    "diff.external=",
    "gc.auto=0",
    "pack.threads=0",
    "pack.windowMemory=256m",
    "protocol.allow=never",
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
    "uploadpack.packObjectsHook=",
)
_RANDOM = Path("/dev/urandom")
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_GRAFT_FILE": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "",
    "GIT_TERMINAL_PROMPT": "0",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository whose place and owner are known; `banger.workspace.locate` finds one.

    `common_dir` differs from `git_dir` in a linked worktree (gitrepository-layout(5)); `object_format` is ``sha1`` or
    ``sha256``; `also_read` are further directories that git may read. `is_ours`: banger made it, for objects that
    nobody vouches for, and git may write to it.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    object_format: str = "sha1"
    also_read: tuple[Path, ...] = ()
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class _Programs:
    git: Path
    exec_path: Path
    executables: tuple[Path, ...]


async def run_git(
    repository: Repository,
    args: Sequence[str],
    *,
    deadline_s: float | None = None,
    stdin: bytes | int = b"",
    output: int | None = None,
    output_limit_bytes: int = OUTPUT_LIMIT_BYTES,
) -> Finished:
    """Run one of the allowed git commands, confined, and return how it ended.

    `stdin` may be the descriptor of a file too. `output` is a descriptor of a file that gets the standard output
    instead of `Finished.stdout`; not a pipe, so that the limit, which holds for files that git makes too, does and
    nobody has to read. Raises ValueError for another command, DeadlineError after `deadline_s`
    seconds (default: DEADLINE_S), HostError if git is missing, cannot be confined or prints more than
    `output_limit_bytes`.
    """
    _check_allowed(args, _ALLOWED + _ALLOWED_IN_OURS if repository.is_ours else _ALLOWED)
    deadline_s = DEADLINE_S if deadline_s is None else deadline_s
    programs = _find_programs()
    argv = _command_line(programs, repository, args)
    limits = Limits(cpu_s=int(deadline_s) * (os.cpu_count() or 1) + 1, file_bytes=output_limit_bytes)
    read = [repository.root, repository.git_dir, repository.common_dir, *repository.also_read]
    read += [_RANDOM] if repository.is_ours else []  # for the names of temporary files
    with contextlib.ExitStack() as stack:
        out, err = (_memory_file(stack, name) for name in ("stdout", "stderr"))
        source = stdin if isinstance(stdin, int) else _content_file(stack, stdin)
        enter = stack.enter_context(
            confinement(
                limits=limits,
                read=[*read, *LIBRARIES, programs.exec_path, LOADER_CACHE],
                execute=programs.executables,
                write=[repository.git_dir] if repository.is_ours else (),
            )
        )
        try:
            # Started by the event loop's own thread: the child dies with the thread that started it.
            process = subprocess.Popen(  # noqa: ASYNC220 - it is waited for below, by descriptor
                argv,
                stdin=source,
                stdout=out if output is None else output,
                stderr=err,
                env=_environment(programs, repository),
                cwd=_work_tree(programs, repository, args),
                start_new_session=True,
                preexec_fn=enter,  # noqa: PLW1509 - banger.host.landlock says why it is safe
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise HostError(f"{programs.git}: cannot be run confined: {error}", hint="banger doctor") from error
        status = await _wait(process, deadline_s, repository)
        if status == -signal.SIGXFSZ:
            raise HostError(f"git {args[0]}: printed more than {output_limit_bytes} bytes")
        return Finished(("git", *args), status, b"" if output is not None else _content(out), _content(err))


def _check_allowed(args: Sequence[str], allowed: Sequence[tuple[str, ...]]) -> None:
    words = tuple(args)
    if not any(words[: len(form)] == form for form in allowed) or _FORBIDDEN_WORDS.intersection(words):
        raise ValueError(f"git {' '.join(words[:4])}: not one of the commands that are safe on any repository")


def _command_line(programs: _Programs, repository: Repository, args: Sequence[str]) -> list[str]:
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    place = [f"--git-dir={repository.git_dir}", f"--work-tree={_work_tree(programs, repository, args)}"]
    return [str(programs.git), "--no-pager", "--no-optional-locks", *place, *settings, *args]


def _work_tree(programs: _Programs, repository: Repository, args: Sequence[str]) -> Path:
    """Return where git is to look for the checkout. For a bundle: where none is, or it would read .gitattributes."""
    return programs.exec_path if args[0] == "bundle" or repository.is_ours else repository.root


def _environment(programs: _Programs, repository: Repository) -> dict[str, str]:
    return {
        **_ENVIRONMENT,
        "GIT_EXEC_PATH": str(programs.exec_path),
        "GIT_ATTR_SOURCE": EMPTY_TREES[repository.object_format],
    }


async def _wait(process: subprocess.Popen[bytes], deadline_s: float, repository: Repository) -> int:
    try:
        return await wait_or_kill(process, deadline_s)
    except TimeoutError as error:
        raise DeadlineError(
            f"{repository.root}: git did not finish reading it within {deadline_s:g} s",
            hint=f"find {repository.root} -type p    # a FIFO in the place of a file holds git up",
        ) from error


def _memory_file(stack: contextlib.ExitStack, name: str) -> int:
    descriptor = os.memfd_create(f"git-{name}")
    stack.callback(os.close, descriptor)
    return descriptor


def _content_file(stack: contextlib.ExitStack, content: bytes) -> int:
    descriptor = _memory_file(stack, "stdin")
    _write_all(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _content(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return file.read()


def _find_programs() -> _Programs:
    """Find git's binaries and the loader that they name. Raises HostError."""
    git = get_tool("git").resolve()
    for folder in ("lib", "libexec"):
        exec_path = git.parents[1] / folder / "git-core"
        inner = exec_path / "git"
        if inner.exists():
            return _Programs(git, exec_path, (git, inner.resolve(), *loader_of(git)))
    raise HostError(f"{git}: its git-core folder is not beside it", hint="sudo apt-get install --reinstall git")
