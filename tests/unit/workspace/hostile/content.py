"""Traps in what git stores: indexes, objects, names, promises; and in the words that travel on to the guest."""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from functools import partial

from tests.unit.workspace.hostile.trap import Ground, Set, Trap, config_trap

_BLOB = "45b983be36b73c0788dc9cbcb76cbb80fc7bb057"  # the blob "hi\n"
_FILE, _LINK, _TREE, _SUBMODULE = 0o100644, 0o120000, 0o040000, 0o160000


def _entry(path: bytes, mode: int = _FILE, flags: int = 0) -> bytes:
    """Return an entry of an index, version 2 (gitformat-index(5))."""
    fixed = struct.pack(
        ">10I20sH", 0, 0, 0, 0, 0, 0, mode, 0, 0, 3, bytes.fromhex(_BLOB), min(len(path), 0xFFF) | flags
    )
    return (fixed + path + b"\0" * 8)[: (62 + len(path) + 8) // 8 * 8]


def _index(body: bytes, *, version: int = 2, count: int = 1, checksum: bytes | None = None) -> bytes:
    content = b"DIRC" + struct.pack(">II", version, count) + body
    return content + (hashlib.sha1(content, usedforsecurity=False).digest() if checksum is None else checksum)


def _write_index(content: bytes, ground: Ground) -> None:
    (ground.git_dir / "index").write_bytes(content)


def _track(paths: Sequence[bytes], ground: Ground) -> None:
    ground.repo.git("hash-object", "-w", "--stdin", stdin=b"hi\n")
    _write_index(_index(b"".join(_entry(path) for path in sorted(paths)), count=len(paths)), ground)


def _git(*words: str) -> Set:
    def run(ground: Ground) -> None:
        ground.repo.git(*words)

    return run


def _split(ground: Ground) -> None:
    ground.repo.git("update-index", "--split-index")


def _split_elsewhere(ground: Ground) -> None:
    _split(ground)
    (shared,) = ground.git_dir.glob("sharedindex.*")
    shared.unlink()
    shared.symlink_to(ground.other.root / ".git/index")


def _sparse(ground: Ground) -> None:
    ground.repo.git("checkout", "-q", "README")
    ground.repo.git("sparse-checkout", "set", "--cone", "--sparse-index", "nothing")


def _truncate(name: str, keep: int, ground: Ground) -> None:
    path = ground.git_dir / name
    path.write_bytes(path.read_bytes()[:keep])


def _store(ground: Ground, kind: str, content: bytes) -> str:
    """Write a loose object without asking git what it thinks of it."""
    raw = f"{kind} {len(content)}\0".encode() + content
    oid = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    path = ground.git_dir / "objects" / oid[:2] / oid[2:]
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(zlib.compress(raw))
    return oid


def _tree(*entries: tuple[int, bytes, str]) -> bytes:
    return b"".join(b"%o %s\0" % (mode, name) + bytes.fromhex(oid) for mode, name, oid in entries)


def _commit_tree(ground: Ground, tree: str) -> None:
    who = b"A <a@b> 1700000000 +0000"
    commit = _store(ground, "commit", b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (tree.encode(), who, who))
    (ground.git_dir / "refs/heads/main").write_text(commit + "\n")


def _tree_with(name: bytes, mode: int = _FILE) -> Set:
    """HEAD's tree has one entry of this name."""

    def commit(ground: Ground) -> None:
        blob = _store(ground, "blob", b"hi\n")
        if mode == _TREE:
            blob = _store(ground, "tree", _tree((_FILE, b"config", blob)))
        _commit_tree(ground, _store(ground, "tree", _tree((mode, name, blob))))

    return commit


def _raw_tree(content: bytes) -> Set:
    return lambda ground: _commit_tree(ground, _store(ground, "tree", content))


def _head_is(kind: str, content: bytes) -> Set:
    return lambda ground: _set_head(ground, _store(ground, kind, content))


def _set_head(ground: Ground, oid: str) -> None:
    (ground.git_dir / "HEAD").write_text(oid + "\n")


def _lose(revision: str) -> Set:
    def lose(ground: Ground) -> None:
        oid = ground.repo.git("rev-parse", revision)
        (ground.git_dir / "objects" / oid[:2] / oid[2:]).unlink()

    return lose


def _damage(revision: str) -> Set:
    def damage(ground: Ground) -> None:
        oid = ground.repo.git("rev-parse", revision)
        path = ground.git_dir / "objects" / oid[:2] / oid[2:]
        path.chmod(0o644)
        path.write_bytes(zlib.compress(b"blob 5\0wrong"))

    return damage


def _damaged_pack(ground: Ground) -> None:
    ground.repo.git("gc", "-q")
    for path in (ground.git_dir / "objects/pack").glob("*.pack"):
        path.chmod(0o644)
        content = bytearray(path.read_bytes())
        content[40] ^= 0xFF
        path.write_bytes(content)


def _bomb(ground: Ground) -> None:
    """A tree object that says it is small."""
    squeeze = zlib.compressobj(9)
    body = (
        squeeze.compress(b"tree 100\0")
        + b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(64))
        + squeeze.flush()
    )
    oid = "ab" * 20
    path = ground.git_dir / "objects" / oid[:2] / oid[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(body)
    _commit_tree(ground, oid)


def _wide(ground: Ground) -> None:
    """Trees in trees, each twice: 2 ** 30 paths of thirty objects."""
    oid, mode = _store(ground, "blob", b"hi\n"), _FILE
    for _ in range(30):
        oid, mode = _store(ground, "tree", _tree((mode, b"a", oid), (mode, b"b", oid))), _TREE
    _commit_tree(ground, oid)


def _gitlink(ground: Ground) -> None:
    head = ground.repo.git("rev-parse", "HEAD")
    ground.repo.git("update-index", "--add", "--cacheinfo", f"160000,{head},sub")


def _gitmodules(text: str, ground: Ground) -> None:
    ground.repo.write(".gitmodules", text.replace("@", str(ground.folder)))
    ground.repo.git("add", ".gitmodules")
    _gitlink(ground)


def _names(*names: bytes) -> Set:
    def write(ground: Ground) -> None:
        for name in names:
            ground.repo.write(name, "odd\n")
        ground.repo.git("add", "--", *names)
        ground.repo.write(b"untracked " + names[0].replace(b"/", b" "), "odd\n")

    return write


def _branch(name: str) -> Set:
    def make(ground: Ground) -> None:
        head = ground.repo.git("rev-parse", "HEAD")
        path = ground.git_dir / "refs/heads" / name.replace("@", str(ground.folder).strip("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + "\n")
        (ground.git_dir / "HEAD").write_text(f"ref: {path.relative_to(ground.git_dir)}\n")

    return make


def _missing_blob_promised(ground: Ground) -> None:
    ground.config(
        f'[remote "origin"]\n\turl = ext::{ground.evil}\n\tpromisor = true\n[extensions]\n\tpartialClone = origin\n'
    )
    _lose("HEAD:README")(ground)


def _attributes(text: str) -> Set:
    def write(ground: Ground) -> None:
        ground.repo.write(".gitattributes", text)
        ground.repo.write("a.txt", "one\r\ntwo\n$Id$\n")
        for name in (".gitattributes", "a.txt"):
            oid = ground.repo.git("hash-object", "-w", "--no-filters", name)
            ground.repo.git("update-index", "--add", "--cacheinfo", f"100644,{oid},{name}")
        ground.repo.git("update-ref", "HEAD", ground.repo.git("commit-tree", "-m", "x", ground.repo.git("write-tree")))

    return write


def _notes_and_stash(ground: Ground) -> None:
    ground.repo.git("stash", "-q")
    ground.repo.git("notes", "add", "-m", "note")


_DOT_GIT = "no file of a repository can be called|git cannot read"
_CANNOT = "git cannot read"
_SHELL = "$(touch${IFS}mark);`touch${IFS}mark`"

TRAPS = (
    *(Trap(f"index version {version}", _git("update-index", "--index-version", str(version))) for version in (2, 3, 4)),
    Trap("split index", _split),
    Trap("split index whose other half is elsewhere", _split_elsewhere, _CANNOT),
    Trap("sparse index", _sparse),
    Trap("untracked cache", _git("update-index", "--force-untracked-cache")),
    Trap("index cut short", partial(_truncate, "index", 100), "."),
    Trap("index of no bytes", partial(_truncate, "index", 0), _CANNOT),
    Trap("index with a wrong checksum", partial(_write_index, _index(_entry(b"a"), checksum=b"x" * 20))),
    Trap("index of version 99", partial(_write_index, _index(_entry(b"a"), version=99)), _CANNOT),
    Trap("index of four billion entries", partial(_write_index, _index(_entry(b"a"), count=0xFFFFFFFF)), _CANNOT),
    Trap(
        "index with an extension that must be known",
        partial(_write_index, _index(_entry(b"a") + b"evil\0\0\0\0")),
        _CANNOT,
    ),
    Trap(
        "index with an entry that never ends",
        partial(_write_index, _index(_entry(b"a" * 5000)[:4000])),
        "too long|git cannot",
    ),
    *(
        Trap(f"index tracks {path!r}", partial(_track, [path]), _DOT_GIT)
        for path in (
            b"../secrets/id_rsa",
            b".git/hooks/post-checkout",
            b"a/../../secrets/id_rsa",
            b".GIT/config",
            b"/etc/passwd",
            b"a//b",
            b".",
            b"..",
            b"a/.git/config",
            b"./a",
            b"a/",
        )
    ),
    Trap("index tracks one path twice", partial(_track, [b"README", b"README"])),
    Trap("index tracks a file and below it", partial(_track, [b"README", b"README/x"])),
    Trap("index with an odd mode", partial(_write_index, _index(_entry(b"README", 0o100777)))),
    Trap("index with a mode of no kind", partial(_write_index, _index(_entry(b"README", 0o020666))), None),
    Trap("index entry with an object that is not there", partial(_write_index, _index(_entry(b"README")))),
    *(
        Trap(f"tree has {name!r}, mode {mode:o}", _tree_with(name, mode), _DOT_GIT)
        for name, mode in (
            (b".git", _TREE),
            (b".GIT", _TREE),
            (b"..", _TREE),
            (b".", _TREE),
            (b"../secrets", _FILE),
            (b"a/b", _FILE),
            (b"", _FILE),
            (b".git", _LINK),
            (b"..", _LINK),
        )
    ),
    Trap("tree is cut short", _raw_tree(_tree((_FILE, b"a", _BLOB))[:-4]), _CANNOT),
    Trap("tree has a mode that is no number", _raw_tree(b"9x a\0" + bytes(20)), _CANNOT),
    Trap("tree has a huge mode", _raw_tree(b"7" * 40 + b" a\0" + bytes(20)), "."),
    Trap("tree is no tree", _raw_tree(b"just some words"), _CANNOT),
    Trap("tree has a submodule", _tree_with(b"sub", _SUBMODULE), "submodules"),
    Trap("tree has an object of no kind", _tree_with(b"dev", 0o020666)),
    Trap("tree that inflates to much more than it says", _bomb, _CANNOT),
    Trap("trees in trees, twice each", _wide, "more than|finish"),
    Trap("tree of HEAD is missing", _lose("HEAD^{tree}"), _CANNOT),
    Trap("file of HEAD is missing", _lose("HEAD:README"), _CANNOT),
    Trap("parent of HEAD is missing", _lose("HEAD~1"), _CANNOT),
    Trap("HEAD is missing", _lose("HEAD"), "."),
    Trap("file of HEAD is damaged", _damage("HEAD:README")),
    Trap("tree of HEAD is damaged", _damage("HEAD^{tree}"), _CANNOT),
    Trap("pack is damaged", _damaged_pack, "not a commit|git cannot"),
    Trap("HEAD is a blob", _head_is("blob", b"hi\n"), "not a commit|git cannot"),
    Trap("HEAD is an empty commit", _head_is("commit", b""), "."),
    Trap("HEAD is a commit of nonsense", _head_is("commit", b"tree " + b"z" * 40 + b"\n"), "."),
    Trap("submodule in the index", _gitlink, "submodules"),
    *(
        Trap(f"submodule {what}", partial(_gitmodules, text), "submodules")
        for what, text in {
            "name that climbs": '[submodule "../../hooks"]\n\tpath = sub\n\turl = x\n',
            "url that is an option": '[submodule "x"]\n\tpath = sub\n\turl = "--upload-pack=@/evil"\n',
            "url of a helper": '[submodule "x"]\n\tpath = sub\n\turl = "ext::@/evil"\n',
            "update command": '[submodule "x"]\n\tpath = sub\n\turl = x\n\tupdate = "!@/evil"\n',
            "path that is an option": '[submodule "x"]\n\tpath = --evil\n\turl = x\n',
        }.items()
    ),
    Trap("partial clone with a program as its promise", _missing_blob_promised, "partial clone"),
    config_trap("promisor remote", '[remote "x"]\n\turl = "ext::@/evil"\n\tpromisor = true', says="partial clone"),
    config_trap(
        "unknown extension", "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tevil = true", says=_CANNOT
    ),
    config_trap("repository of a later version", "[core]\n\trepositoryformatversion = 99", says=_CANNOT),
    config_trap("unknown object format", "[extensions]\n\tobjectFormat = md5", says="object format"),
    config_trap(
        "wrong object format", "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256", says="."
    ),
    config_trap("configuration that is none", "[core\nnonsense", says="bad git configuration"),
    config_trap("configuration with an open quote", '[core]\n\tx = "open', says="bad git configuration"),
    config_trap("configuration with a NUL", "[core]\n\tx = a\0b"),
    config_trap(
        "pack settings that want everything",
        "[pack]\n\tthreads = 9999\n\twindowMemory = 1\n\tdepth = 4095\n\twindow = 9999",
    ),
    config_trap(
        "core settings that want everything",
        "[core]\n\tpackedGitLimit = 1\n\tdeltaBaseCacheLimit = 1\n\tbigFileThreshold = 1",
    ),
    Trap("names that are options", _names(b"--upload-pack=evil", b"-rf", b"-", b"--")),
    Trap("names with control characters", _names(b"a\nb", b"\x1b]0;evil\x07", b"a\rb", b"\x7f")),
    Trap("names that are not UTF-8", _names(b"\xff\xfe", b"a\xc3", b"\xed\xa0\x80")),
    Trap("names for a shell", _names(_SHELL.encode(), b"'; touch mark; '", b'"', b"a b", b"*", b"\\")),
    Trap("names for a pathspec", _names(b":(exclude)x", b":!y", b"[a-z]", b"?")),
    Trap("names for tar", _names(b"meta/bundle", b"place.sh", b"repo/place.sh", b"@LongLink")),
    Trap("names that are long", _names(b"n" * 244, b"/".join([b"d" * 250] * 4))),
    Trap("names that look like .git", _names(b".gitx", b".gitmodules~", b"..git", b"git")),
    Trap("branch for a shell", _branch(_SHELL)),
    Trap("branch that is an option", _branch("-evil")),
    Trap("branch with a long name", _branch("b" * 200)),
    Trap("branch called HEAD", _branch("HEAD"), _CANNOT),
    *(
        config_trap(f"origin {url!r}", f'[remote "origin"]\n\turl = "{url}"', ships=True)
        for url in (
            "--upload-pack=touch mark",
            "ext::sh -c touch% mark",
            "-oProxyCommand=touch mark:x",
            "ssh://-oProxyCommand=x/y",
            "https://a:canary@example.org/x",
            "file:///etc",
            "https://example.org/$(touch mark)",
            "a\\nb",
            "\x1b[2J",
        )
    ),
    *(
        config_trap(f"author {name!r}", f'[user]\n\tname = "{name}"\n\temail = "{name}@x"', ships=True)
        for name in ("$(touch mark)", "'; touch mark; '", "-e", "--global", "a\\nb", "<>", "\\\\")
    ),
    *(
        Trap(f"attributes {text!r}", _attributes(text))
        for text in (
            "* filter=x",
            "* text=auto eol=crlf",
            "* working-tree-encoding=UTF-16",
            "* ident",
            "* export-subst",
            "[attr]x y\n* x",
            "* text working-tree-encoding=true",
            "* working-tree-encoding=nonsense",
        )
    ),
    Trap("stash and notes", _notes_and_stash),
)
