"""A guest that means harm: whatever it sends as an export, nothing runs, nothing is read, nothing is written over."""

import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from banger.host import git
from banger.model.errors import BangerError, GuestError, SpecError
from banger.workspace import export, quarantine
from banger.workspace.export import Receiver, branch_of, export_workspace, new_folder
from banger.workspace.record import Sent
from tests.unit.workspace.hostile import TRAPS
from tests.unit.workspace.hostile.trap import CANARY, Ground, Trap, make_ground, make_template
from tests.unit.workspace.repositories import Ended, Repo, tree

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("WSP-010")]
DEADLINE_S = 30
COMMIT, TREE, BLOB, TAG, OFS_DELTA, REF_DELTA = 1, 2, 3, 4, 6, 7
FILE, LINK, FOLDER, MODULE = 0o100644, 0o120000, 0o040000, 0o160000
KINDS = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}


class Pack:
    """A pack (gitformat-pack(5)) of whatever objects, sound or not."""

    def __init__(self) -> None:
        self.body = b""
        self.count = 0

    def add(self, kind: int, content: bytes) -> str:
        self.raw(kind, len(content), zlib.compress(content))
        return hashlib.sha1(KINDS[kind] + b" %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

    def raw(self, kind: int, size: int, data: bytes) -> None:
        self.count += 1
        head, size = [kind << 4 | size & 15], size >> 4
        while size:
            head[-1] |= 128
            head.append(size & 127)
            size >>= 7
        self.body += bytes(head) + data

    def commit(self, tree_id: str, *, parent: str | None = None, text: bytes = b"evil\n") -> str:
        lines = f"tree {tree_id}\n" + (f"parent {parent}\n" if parent else "")
        who = "Guest <guest@example.org> 1700000000 +0000"
        return self.add(COMMIT, f"{lines}author {who}\ncommitter {who}\n\n".encode() + text)

    def tree(self, *entries: tuple[int, bytes, str]) -> str:
        return self.add(TREE, b"".join(b"%o %s\0" % (mode, name) + bytes.fromhex(oid) for mode, name, oid in entries))

    def write(self, *, count: int | None = None, checksum: bytes | None = None) -> bytes:
        data = b"PACK" + struct.pack(">II", 2, self.count if count is None else count) + self.body
        return data + (hashlib.sha1(data, usedforsecurity=False).digest() if checksum is None else checksum)


def said(tip: str, pack: bytes, *, branch: str = "main", more: str = "") -> bytes:
    return f"banger-export 1\nhead {tip}\ntip {tip}\nbranch {branch}\n{more}\n".encode() + pack


def of_tree(*entries: tuple[int, bytes, str], blob: bytes = b"evil\n") -> bytes:
    """An export of a commit with a tree; `blob` is there, under the id `of(blob)`."""
    pack = Pack()
    pack.add(BLOB, blob)
    return said(pack.commit(pack.tree(*entries)), pack.write())


def of(blob: bytes = b"evil\n") -> str:
    return hashlib.sha1(b"blob %d\0" % len(blob) + blob, usedforsecurity=False).hexdigest()


def of_modules(text: str) -> bytes:
    blob = text.encode()
    return of_tree((FILE, b".gitmodules", of(blob)), blob=blob)


def nested(name: bytes, mode: int = FILE) -> bytes:
    pack = Pack()
    inner = pack.tree((mode, name, pack.add(BLOB, b"evil\n")))
    return said(pack.commit(pack.tree((FOLDER, b"inner", inner))), pack.write())


def tip_of(kind: int, content: bytes) -> bytes:
    pack = Pack()
    return said(pack.add(kind, content), pack.write())


def bad_commit(text: bytes) -> bytes:
    return tip_of(COMMIT, text)


def cut(keep: int) -> bytes:
    return of_tree((FILE, b"a", of()))[:keep]


def delta(kind: int, data: bytes) -> bytes:
    pack = Pack()
    pack.raw(kind, 4, data)
    return said("0" * 40, pack.write())


def bomb() -> bytes:
    pack = Pack()
    pack.raw(BLOB, 1 << 40, zlib.compress(bytes(1 << 20)))
    return said("0" * 40, pack.write())


FILTERS = b"* filter=x diff=x merge=x text\n"
EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
NAMES = (
    b"..",
    b".",
    b"",
    b".git",
    b".GIT",
    b".Git",
    b"git~1",
    b"GIT~1",
    b".git.",
    b".git ",
    b".git\xe2\x80\x8c",
    b".g\xe2\x80\x8cit",
    b".git\\x",
    b"a/b",
    b"../x",
    b"/etc/passwd",
    b".git/config",
    b"a" * 5000,
)
STREAMS: dict[str, bytes] = {
    **{f"a tree with {name[:20]!r}": of_tree((FILE, name, of())) for name in NAMES},
    **{f"a directory called {name[:20]!r}": of_tree((FOLDER, name, EMPTY)) for name in (b"..", b".git", b".gIt")},
    **{f"below, {name[:20]!r}": nested(name) for name in (b"..", b".git", b"x/y", b"")},
    "below, a link called ..": nested(b"..", LINK),
    "a name twice": of_tree((FILE, b"a", of()), (FILE, b"a", of())),
    "a file and a directory of one name": of_tree((FILE, b"a", of()), (FOLDER, b"a", EMPTY)),
    "out of order": of_tree((FILE, b"b", of()), (FILE, b"a", of())),
    "the null id": of_tree((FILE, b"a", "0" * 40)),
    "a file that is not there": of_tree((FILE, b"a", "1" * 40)),
    "a tree that is a blob": of_tree((FOLDER, b"a", of())),
    "a blob that is a tree": of_tree((FILE, b"a", EMPTY)),
    "a link for .gitmodules": of_tree((LINK, b".gitmodules", of())),
    "a link for .gitattributes": nested(b".gitmodules", LINK),
    "a url that is an option": of_modules('[submodule "x"]\n\tpath = x\n\turl = --upload-pack=evil\n'),
    "a path that is an option": of_modules('[submodule "x"]\n\tpath = -evil\n\turl = https://example.org\n'),
    "a name that leads out": of_modules('[submodule "../../x"]\n\tpath = x\n\turl = https://example.org\n'),
    "a command to update": of_modules('[submodule "x"]\n\tpath = x\n\turl = https://example.org\n\tupdate = !evil\n'),
    "a url with a line end": of_modules('[submodule "x"]\n\tpath = x\n\turl = "https://a\\nhost=b"\n'),
    "a commit without anything": bad_commit(b""),
    "a commit without a tree": bad_commit(b"author a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx"),
    "a commit of a tree that is not there": bad_commit(
        f"tree {'2' * 40}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx".encode()
    ),
    "a commit with a NUL": bad_commit(f"tree {EMPTY}\nauthor a\0 <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx".encode()),
    "a commit by nobody": bad_commit(f"tree {EMPTY}\ncommitter a <a> 1 +0000\n\nx".encode()),
    "a parent that is not there": bad_commit(
        f"tree {EMPTY}\nparent {'3' * 40}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx".encode()
    ),
    "a tip that is a blob": tip_of(BLOB, b"evil\n"),
    "a tip that is a tree": tip_of(TREE, b""),
    "a tip that is a tag": tip_of(TAG, f"object {EMPTY}\ntype tree\ntag x\ntagger a <a> 1 +0000\n\nx".encode()),
    "a tip that was not sent": said("4" * 40, of_tree((FILE, b"a", of())).partition(b"\n\n")[2]),
    "a tip without a pack": said("5" * 40, b""),
    "nothing": b"",
    "no lines": b"\n\n",
    "other lines": b"HTTP/1.1 200 OK\n\nhello",
    "lines without end": b"banger-export 1\n" + b"head none\n" * 20_000,
    "no end of the lines": b"banger-export 1\nhead none",
    "an option for a tip": b"banger-export 1\nhead none\ntip --all\nbranch main\n\n",
    "an option after a tip": f"banger-export 1\nhead none\ntip {'6' * 40} --all\nbranch main\n\n".encode(),
    "another repository's name for a tip": b"banger-export 1\nhead none\ntip refs/heads/main\nbranch main\n\n",
    "a long id": f"banger-export 1\nhead none\ntip {'7' * 64}\nbranch main\n\n".encode(),
    "upper case": f"banger-export 1\nhead none\ntip {'A' * 40}\nbranch main\n\n".encode(),
    "a line that there is not": said("8" * 40, b"", more="config core.pager evil\n"),
    "no tip": b"banger-export 1\nhead none\nbranch main\n\n",
    "no pack but text": said("9" * 40, b"#!/bin/sh\necho evil\n"),
    "an empty pack": said("9" * 40, Pack().write()),
    "a pack of another version": said("9" * 40, b"PACK" + struct.pack(">II", 9, 0) + bytes(20)),
    "four thousand million objects": said("9" * 40, Pack().write(count=0xFFFFFFFF)),
    "a wrong checksum": said("9" * 40, Pack().write(checksum=bytes(20))),
    "something after the end": of_tree((FILE, b"a", of())) + b"more",
    **{f"cut at {keep}": cut(keep) for keep in (150, 160, 180, 220, 260)},
    "a delta of what is not there": delta(REF_DELTA, bytes.fromhex("ab" * 20) + zlib.compress(b"\5\5\5\5")),
    "a delta of itself": delta(OFS_DELTA, b"\0" + zlib.compress(b"\5\5\5\5")),
    "a delta of what is before the pack": delta(OFS_DELTA, b"\x7f" + zlib.compress(b"\5\5\5\5")),
    "data that is not compressed": delta(BLOB, b"evil"),
    "an object that is longer than it says": delta(BLOB, zlib.compress(bytes(100_000))),
    "a terabyte": bomb(),
}
ALLOWED: dict[str, bytes] = {
    "filters": of_tree((FILE, b".gitattributes", of(FILTERS)), blob=FILTERS),
    "a mode that git takes for another": of_tree((0o107777, b"a", of())),
    "words for a terminal": said(
        (pack := Pack()).commit(EMPTY, text=b"\x1b]0;title\x07\x1b[31mred\n"),
        pack.write(),
        branch="a\x1b[1m",
        more="other \x1b[2Jx\n" * 100,
    ),
    "a link that leads out": of_tree((LINK, b"link", of(b"/etc/passwd")), blob=b"/etc/passwd"),
    "names for a shell": of_tree((FILE, b"$(evil)\n;`evil`", of()), (FILE, b"-rf", of()), (FILE, b"\xff\xfe", of())),
}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "ground"
    make_template(folder)
    return folder


@pytest.fixture
def ground(template: Path, tmp_path: Path) -> Ground:
    return make_ground(template, tmp_path / "ground")


def state_of(repo: Repo, base: str | None) -> Sent:
    return Sent("d", str(repo.root), "sha1", base, base, "main", (), {}, (), ())


async def receive(repo: Repo, base: str | None, stream: bytes, folder: Path) -> tuple[str, str]:
    """Export what a guest sends and make it a branch; return all that a user would see, and the branch."""

    async def run(_words: Sequence[str], sink: Receiver) -> Ended:
        source = io.BytesIO(stream)
        while chunk := source.read(10_000):
            sink(chunk)
        return Ended(0, b"", b"")

    into = new_folder(made(folder))
    view = await export_workspace("box", state_of(repo, base), run, into)
    return repr(view) + text_of(view.patch), branch_of(into, None).name if view.tip else ""


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def text_of(patch: str | None) -> str:
    return Path(patch).read_text(errors="replace") if patch else ""


def whole(folder: Path) -> dict[str, bytes]:
    """Every file of a repository, with .git."""
    found = (path for path in sorted(folder.rglob("*")) if not path.is_symlink())
    return {str(path): path.read_bytes() for path in found if path.is_file()}


def test_there_are_enough_of_them() -> None:
    assert len(STREAMS) + len(ALLOWED) + len(TRAPS) >= 120
    assert len(STREAMS) >= 80


@pytest.mark.parametrize("name", STREAMS)
async def test_what_is_not_sound_is_an_error_and_leaves_the_repository_as_it_is(
    ground: Ground, tmp_path: Path, name: str
) -> None:
    before = whole(ground.repo.root)
    with anyio.fail_after(DEADLINE_S), pytest.raises((GuestError, SpecError)) as caught:
        await receive(ground.repo, ground.repo.git("rev-parse", "HEAD"), STREAMS[name], tmp_path / "vm")
    assert "\x1b" not in caught.value.message
    assert whole(ground.repo.root) == before
    assert not ground.mark.exists()


@pytest.mark.parametrize("name", ALLOWED)
async def test_what_is_sound_becomes_a_branch_and_runs_nothing(ground: Ground, tmp_path: Path, name: str) -> None:
    ground.config('[filter "x"]\n\tclean = ../evil\n\tsmudge = ../evil\n[diff "x"]\n\ttextconv = ../evil\n')
    files = tree(ground.repo.root)
    _, branch = await receive(ground.repo, ground.repo.git("rev-parse", "HEAD"), ALLOWED[name], tmp_path / "vm")
    assert ground.repo.git("rev-parse", "--verify", branch)
    assert tree(ground.repo.root) == files
    assert not ground.mark.exists()


def thin_pack(ground: Ground) -> tuple[str, bytes]:
    """An honest export of one more commit, made before the trap is set."""
    base = ground.repo.git("rev-parse", "HEAD")
    pack = Pack()
    made = pack.commit(pack.tree((FILE, b"README", pack.add(BLOB, b"done\n"))), parent=base)
    return base, said(made, pack.write())


@pytest.mark.parametrize("trap", TRAPS[::8], ids=lambda trap: trap.name)
async def test_a_repository_that_is_a_trap_takes_an_export_and_nothing_runs(
    ground: Ground, tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spring(ground, tmp_path, trap, monkeypatch)


@pytest.mark.nightly
@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
async def test_every_trap_takes_an_export_and_nothing_runs(
    ground: Ground, tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spring(ground, tmp_path, trap, monkeypatch)


async def spring(ground: Ground, folder: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    base, stream = thin_pack(ground)
    trap.set(ground)
    others = whole(ground.other.root)
    for name, value in trap.environ:
        monkeypatch.setenv(name, value.replace("@", str(ground.folder)))
    monkeypatch.setattr(git, "DEADLINE_S", 1.0 if trap.hangs else git.DEADLINE_S)
    monkeypatch.setattr(quarantine, "DEADLINE_S", 1.0 if trap.hangs else 10.0)
    with anyio.fail_after(DEADLINE_S):
        try:
            shown, _ = await receive(ground.repo, base, stream, folder / "vm")
        except BangerError as error:
            shown = f"{error.message}\n{error.hint}"
    assert not ground.mark.exists()
    assert CANARY not in shown
    assert whole(ground.other.root) == others


TRACED = """
import sys
from pathlib import Path
import anyio
from banger.model.errors import BangerError
from tests.unit.workspace import test_hostile_export as tests
from tests.unit.workspace.repositories import Repo

async def look(folder: Path) -> None:
    base, stream = (folder / "base").read_text(), (folder / "stream").read_bytes()
    try:
        await tests.receive(Repo(folder / "repo", folder / "home"), base, stream, folder / "vm")
    except BangerError as error:
        print(error.message)

for folder in sys.argv[1:]:
    anyio.run(look, Path(folder))
"""


def test_a_trace_shows_no_other_program_and_no_open_outside(template: Path, tmp_path: Path) -> None:
    """By the kernel's own account: hostile streams, and repositories that are traps, one of each few."""
    names = [*sorted(STREAMS)[::6], *ALLOWED]
    traps = [trap for trap in TRAPS if not trap.hangs and not trap.start and not trap.environ][4::30]
    grounds = [make_ground(template, tmp_path / str(number)) for number in range(len(names) + len(traps))]
    for place, ground in enumerate(grounds):
        base, stream = thin_pack(ground)
        (ground.folder / "base").write_text(base)
        (ground.folder / "stream").write_bytes(({**STREAMS, **ALLOWED}[names[place]]) if place < len(names) else stream)
        if place >= len(names):
            traps[place - len(names)].set(ground)
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-q", "-y", "-s", "4096", "-o", str(trace), "-e", "trace=execve,open,openat,openat2"]
    argv = [*strace, sys.executable, "-B", "-c", TRACED, *(str(ground.folder) for ground in grounds)]
    root = Path(__file__).parents[3]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    programs, opened = set[str](), set[str]()
    for line in trace.read_text(errors="replace").splitlines():
        call = line.partition(" ")[2].strip()
        if call.startswith("execve(") and " = 0" in call:
            programs.add(call.split('"')[1])
        elif call.startswith("open") and "O_PATH" not in call and (found := re.search(r" = [0-9]+<(.*)>$", call)):
            opened.add(found[1])
    git_programs = git._find_programs()
    assert programs <= {sys.executable, str(git_programs.git), str(git_programs.exec_path / "git")}
    assert str(git_programs.git) in programs
    ours = {path.removesuffix(" (deleted)") for path in opened if path.startswith(str(tmp_path))}
    assert len(ours) > 3 * len(grounds)
    strange = {path for path in ours if not is_inside(Path(path), tmp_path)}
    assert strange == set()


def is_inside(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return len(parts) > 1 and (
        parts[1] in {"repo", "home", "vm", "base", "stream"} or path.name in {"commondir", "gitdir", "config"}
    )


def test_the_guest_is_told_by_a_script_that_holds_no_word_of_ours() -> None:
    """Its words are arguments: a path or a commit's id is never part of the script."""
    assert "{" not in export.SCRIPT.read_text().replace("^{", "").replace("|| {", "")
    assert os.access(export.SCRIPT, os.R_OK)
