"""A checkout in a real VM: what is in /root/repo, whose exit status it is, and what stayed at home."""

import subprocess
from pathlib import Path

import pytest

from tests.real import Banger

pytestmark = [pytest.mark.vm, pytest.mark.network]

SHOW = (
    "git status --porcelain --branch; git log --format=%s; git config user.email; ls -A; stat -c '%U %a %n' *; cat kept"
)


def git(repository: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", repository, *words], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def checkout(banger: Banger) -> Path:
    """A repository with every kind of change, a secret, and something that is ignored."""
    repository = banger.state.parent.parent / f"{banger.home.name}-checkout"
    (repository / "sub").mkdir(parents=True)
    git(repository, "init", "-q", "-b", "main")
    git(repository, "config", "user.name", "Some One")
    git(repository, "config", "user.email", "one@example.org")
    for name, text in ((".gitignore", ".env\n*.o\n"), ("kept", "first\n"), ("gone", "x\n"), ("run.sh", "#!/bin/sh\n")):
        (repository / name).write_text(text)
    (repository / "run.sh").chmod(0o755)
    (repository / "link").symlink_to("kept")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "first")
    (repository / "kept").write_text("changed\n")
    (repository / "gone").unlink()
    (repository / "sub" / "added").write_text("added\n")
    git(repository, "add", "sub/added")
    for name in (".env", "built.o", "note"):
        (repository / name).write_text("secret\n")
    return repository


@pytest.mark.requirement("CLI-003", "CLI-004", "WSP-003")
def test_the_checkout_arrives_with_its_changes_and_nothing_else(banger: Banger, checkout: Path) -> None:
    done = banger.run("vm", "run", "--rm", str(checkout / "sub"), "--", "sh", "-c", f"{SHOW}; exit 42")
    assert done.returncode == 42, done.stderr
    assert done.stdout.splitlines() == [
        "## main",
        " D gone",
        " M kept",
        "A  sub/added",
        "first",
        "one@example.org",
        *(".git", ".gitignore", "kept", "link", "run.sh", "sub"),
        *("root 644 kept", "root 777 link", "root 755 run.sh", "root 755 sub"),
        "changed",
    ]
    assert "1 untracked file stays behind" in done.stderr
    assert banger.litter() == []


@pytest.mark.requirement("CLI-009", "WSP-004")
def test_untracked_files_come_if_asked_for_and_ignored_ones_never(banger: Banger, checkout: Path) -> None:
    listed = banger.ok("vm", "run", "--dry-run", "--include-untracked", str(checkout)).split()
    words = ("--include-untracked", "--branch", "trial", str(checkout), "--", "sh", "-c")
    inside = "git symbolic-ref --short HEAD; find . -path ./.git -prune -o ! -type d -printf '%P\\n' | LC_ALL=C sort"
    branch, *files = banger.ok("vm", "run", "--rm", *words, inside).splitlines()
    assert branch == "trial"
    assert files == sorted(listed) == [".gitignore", "kept", "link", "note", "run.sh", "sub/added"]
    assert git(checkout, "branch", "--list", "trial") == ""


@pytest.mark.requirement("CLI-039", "WSP-010", "WSP-012")
def test_a_checkout_is_brought_up_to_date_and_what_was_done_comes_back(banger: Banger, checkout: Path) -> None:
    banger.ok("vm", "create", "--name", "box", str(checkout))
    keys = banger.ok(
        "vm", "exec", "box", "--", "sh", "-c", "cat /root/.ssh/authorized_keys 2>&1; ls -l /root/.ssh 2>&1"
    )
    (checkout / "kept").write_text("changed again\n")
    done = banger.run("vm", "workspace", "prepare", "box", str(checkout))
    assert done.returncode == 0, done.stderr
    assert "1 of 5 files sent" in done.stderr
    work = "git commit -qam 'done there' && echo more >made && cat kept"
    assert banger.ok("vm", "exec", "-w", "/root/repo", "box", "--", "sh", "-c", work) == "changed again\n"
    head, status = git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain")
    shown = banger.run("vm", "workspace", "export", "box")
    assert "+changed again" in shown.stdout
    assert "done there" in shown.stderr
    assert "nothing was written" in shown.stderr
    banger.ok("vm", "workspace", "export", "--yes", "--branch", "theirs", "box")
    assert (git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain")) == (head, status)
    assert git(checkout, "show", "theirs:made") == "more\n"
    assert git(checkout, "log", "-1", "--format=%s%n%ae", "theirs~1") == "done there\none@example.org\n"
    patch = banger.ok("vm", "workspace", "export", "--patch", "-", "box")
    assert patch.startswith("diff --git a/gone b/gone")
    again = "cat /root/.ssh/authorized_keys 2>&1; ls -l /root/.ssh 2>&1"
    assert banger.ok("vm", "exec", "box", "--", "sh", "-c", again) == keys
    (checkout / "kept").write_text("changed here too\n")
    clash = banger.run("vm", "workspace", "prepare", "box")
    assert clash.returncode == 0, clash.stderr
    banger.ok("vm", "exec", "-w", "/root/repo", "box", "--", "sh", "-c", "echo there >kept")
    (checkout / "kept").write_text("here\n")
    clash = banger.run("vm", "workspace", "prepare", "box")
    assert clash.returncode == 1
    assert "both here and in the VM changed: kept" in clash.stderr
    assert banger.ok("vm", "exec", "box", "--", "cat", "/root/repo/kept") == "there\n"
    banger.ok("vm", "delete", "box")
