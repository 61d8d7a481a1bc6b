"""What a user may have done to a checkout since the last commit, and how `git status` in the guest shows it."""

import os
import subprocess
from collections.abc import Callable

from tests.unit.workspace.repositories import Repo


def no_change(repo: Repo) -> None:
    """The checkout is as it was committed."""


def modified(repo: Repo) -> None:
    repo.write("README", "changed\n")


def staged(repo: Repo) -> None:
    repo.write("README", "changed\n")
    repo.git("add", "README")


def staged_and_modified_again(repo: Repo) -> None:
    staged(repo)
    repo.write("README", "changed again\n")


def added(repo: Repo) -> None:
    repo.write("new/file", "new\n")
    repo.git("add", "new/file")


def intent_to_add(repo: Repo) -> None:
    repo.write("new file", "new\n")
    repo.git("add", "-N", "new file")


def deleted(repo: Repo) -> None:
    (repo.root / "src/main.c").unlink()


def removed(repo: Repo) -> None:
    repo.git("rm", "-q", "README", "run.sh")


def renamed(repo: Repo) -> None:
    repo.git("mv", "README", "READ ME")


def mode_changed(repo: Repo) -> None:
    (repo.root / "README").chmod(0o755)
    (repo.root / "run.sh").chmod(0o644)


def link_changed(repo: Repo) -> None:
    (repo.root / "link").unlink()
    (repo.root / "link").symlink_to("/etc/passwd")


def file_to_link(repo: Repo) -> None:
    (repo.root / "README").unlink()
    (repo.root / "README").symlink_to("nowhere")


def link_to_file(repo: Repo) -> None:
    (repo.root / "link").unlink()
    repo.write("link", "a file now\n")


def directory_to_file(repo: Repo) -> None:
    (repo.root / "src/main.c").unlink()
    (repo.root / "src").rmdir()
    repo.write("src", "a file now\n")
    repo.git("add", "-A", "src")


def file_to_directory(repo: Repo) -> None:
    (repo.root / "README").unlink()
    repo.write("README/part", "in a directory now\n")
    repo.git("add", "-A", "README")


def emptied(repo: Repo) -> None:
    repo.write("README", "")


def odd_names(repo: Repo) -> None:
    for name in (
        b"-rf",
        b"--help",
        b"a\nb",
        b'q"uo\\te',
        b"\xff\xfe",
        "ü".encode(),
        b"dir \t/\x01",
        b" ",
        b"*",
        b":(x)",
    ):
        repo.write(name, b"odd " + name)
    repo.git("add", "-A")


def long_name(repo: Repo) -> None:
    repo.write("/".join(["d" * 200] * 5) + "/f", "deep\n")
    repo.git("add", "-A")


def large(repo: Repo) -> None:
    repo.write("README", os.urandom(9 * 1024 * 1024 + 17))


def line_ends(repo: Repo) -> None:
    repo.write(".gitattributes", "*.txt eol=crlf\n*.dat filter=none ident\n*.u working-tree-encoding=UTF-16\n")
    repo.write("a.txt", "one\r\ntwo\r\n")
    repo.write("b.dat", "$Id$\n")
    repo.write("c.u", "text\n".encode("utf-16"))
    repo.commit()


def assumed_unchanged(repo: Repo) -> None:
    repo.git("update-index", "--assume-unchanged", "README")
    repo.git("update-index", "--skip-worktree", "run.sh")
    repo.write("README", "changed, but git was told not to look\n")


def conflicted(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "other")
    repo.write("README", "theirs\n")
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.write("README", "ours\n")
    repo.commit()
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]  # a bare machine has none of its own
    subprocess.run(["git", "-C", repo.root, *identity, "merge", "-q", "other"], check=False, capture_output=True)


CHANGES: dict[Callable[[Repo], None], str] = {
    no_change: "",
    modified: " M README",
    staged: " M README",
    staged_and_modified_again: " M README",
    added: "A  new/file",
    intent_to_add: 'A  "new file"',
    deleted: " D src/main.c",
    removed: " D README\n D run.sh",
    renamed: 'A  "READ ME"\n D README',
    mode_changed: " M README\n M run.sh",
    link_changed: " M link",
    file_to_link: " T README",
    link_to_file: " T link",
    directory_to_file: "A  src\nD  src/main.c",
    file_to_directory: "D  README\nA  README/part",
    emptied: " M README",
    long_name: "A  " + "/".join(["d" * 200] * 5) + "/f",
    large: " M README",
    line_ends: "",
    assumed_unchanged: " M README",
    conflicted: " M README",
}
