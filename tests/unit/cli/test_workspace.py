"""The workspace verbs: what they ask of the daemon, what they show, and that nothing is written unasked."""

import json
from pathlib import Path

import pytest

from tests.fakes.installation import Installation
from tests.unit.workspace.repositories import make_repo


@pytest.fixture
def box(banger: Installation) -> Installation:
    """An installation with a VM called `box`."""
    banger.ok("vm", "create", "--name", "box")
    return banger


@pytest.mark.requirement("CLI-019", "CLI-039", "WSP-005")
def test_prepare_asks_for_what_was_typed_and_says_what_was_sent(box: Installation, tmp_path: Path) -> None:
    words = ("--include-untracked", "--full-copy", "--branch", "b", "--from", "HEAD", "--replace")
    done = box.run("vm", "workspace", "prepare", "box", str(tmp_path), *words)
    assert done.returncode == 0
    assert done.stdout == ""
    assert f"{tmp_path} (main): 1 of 7 files sent\n" in done.stderr
    assert "2 untracked files stay behind" in done.stderr
    box.ok("vm", "workspace", "prepare", "box")
    workspace = {"path": str(tmp_path), "include_untracked": True, "branch": "b", "from_ref": "HEAD", "full_copy": True}
    assert box.calls("prepare_workspace") == [
        ["box", {"workspace": workspace, "replace": True}],
        ["box", {"workspace": None, "replace": False}],
    ]
    assert json.loads(box.ok("vm", "workspace", "prepare", "box", "--json"))["changed"] == 1
    for verb in (("run",), ("workspace", "prepare")):
        assert "--include-untracked" in box.ok("vm", *verb, "--help")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--branch", "b"], "--branch needs a PATH"),
        (["--include-untracked"], "--include-untracked needs a PATH"),
        (["--full-copy"], "--full-copy needs a PATH"),
        (["--dry-run"], "--dry-run needs a PATH"),
        ([".", "--from", "HEAD"], "--from needs --branch"),
        (["/nowhere"], "there is no such directory"),
    ],
)
def test_prepare_refuses_what_makes_no_sense(box: Installation, words: list[str], says: str) -> None:
    done = box.run("vm", "workspace", "prepare", "box", *words)
    assert done.returncode == 1
    assert says in done.stderr
    assert box.calls("prepare_workspace") == []


@pytest.mark.requirement("CLI-020")
def test_a_dry_run_of_prepare_asks_no_daemon(banger: Installation, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "host")
    repo.write("tracked")
    repo.commit()
    repo.write("untracked")
    listed = banger.run("vm", "workspace", "prepare", "box", str(repo.root), "--dry-run")
    assert (listed.stdout, listed.stderr) == ("tracked\n", "1 files, tracked files only\n")
    assert banger.calls() == []
    assert not (banger.state / "run").exists()


def test_a_clash_is_an_error_and_a_vm_that_is_not_there_too(banger: Installation) -> None:
    banger.ok("vm", "create", "--name", "clash")
    done = banger.run("vm", "workspace", "prepare", "clash")
    assert done.returncode == 1
    assert "both here and in the VM changed: README" in done.stderr
    assert banger.run("vm", "workspace", "prepare", "nobody").returncode == 1
    assert banger.run("vm", "workspace", "export", "nobody").returncode == 1


def test_export_shows_the_difference_first_and_writes_nothing_unasked(box: Installation) -> None:
    done = box.run("vm", "workspace", "export", "box")
    assert done.returncode == 0
    assert "+two red\n" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "done there" in done.stderr
    assert "2 files differ from bbbbbbbbbbbb" in done.stdout
    assert "branches in the VM with commits that are not in this: aside" in done.stderr
    assert "nothing was written" in done.stderr
    assert "+two" not in box.ok("vm", "workspace", "export", "box", "--no-diff")
    assert box.calls("make_workspace_branch") == []


def test_export_makes_a_branch_when_told_to(box: Installation) -> None:
    done = box.run("vm", "workspace", "export", "box", "--yes")
    assert "branch banger/box at cccccccccccc; to merge it: git -C /checkout merge banger/box" in done.stderr
    box.ok("vm", "workspace", "export", "box", "/elsewhere", "-y", "--branch", "mine")
    assert box.calls("make_workspace_branch") == [["box", "0" * 16, None], ["box", "0" * 16, "mine"]]
    assert box.calls("export_workspace")[-1] == ["box", "/elsewhere"]
    taken = box.run("vm", "workspace", "export", "box", "-y", "--branch", "taken")
    assert taken.returncode == 1
    assert "there is a branch taken already" in taken.stderr


def test_a_patch_is_written_as_it_is_and_never_over_a_file(box: Installation, tmp_path: Path) -> None:
    raw = box.ok("vm", "workspace", "export", "box", "--patch", "-")
    assert raw.startswith("diff --git a/README b/README\n")
    target = tmp_path / "patch"
    box.ok("vm", "workspace", "export", "box", "--patch", str(target))
    assert target.read_text() == raw
    again = box.run("vm", "workspace", "export", "box", "--patch", str(target))
    assert again.returncode == 1
    assert "is not overwritten" in again.stderr
    both = box.run("vm", "workspace", "export", "box", "--patch", "-", "--branch", "b")
    assert "exclude each other" in both.stderr


def test_export_of_nothing_says_so(banger: Installation) -> None:
    banger.ok("vm", "create", "--name", "idle")
    done = banger.run("vm", "workspace", "export", "idle", "--yes")
    assert done.returncode == 0
    assert "nothing was done in VM 'idle' since bbbbbbbbbbbb" in done.stderr
    assert json.loads(banger.ok("vm", "workspace", "export", "idle", "--json"))["tip"] is None
