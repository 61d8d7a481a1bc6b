"""A set-up runs once in a VM of its own; VMs begin with its disks for as long as its command and files are the same."""

import contextlib
import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.installation import wait_until
from tests.real import Banger, copy_state

pytestmark = pytest.mark.vm
SHAPE = ("--vcpu", "1", "--memory", "512", "--disk-size", "9G")
SECRET = "c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU"
COMMAND = (
    "ls -A > /tmp/seen; env > /tmp/environment; mkdir -p node_modules/a sub/made;"
    " sha256sum < package-lock.json > node_modules/a/digest; echo theirs > sub/kept; mv /tmp/seen sub/made/seen;"
    " cp /tmp/environment /etc/prepared; head -c 400000000 /dev/zero | sha256sum; echo done"
)
LOOK = (
    "cat sub/made/seen sub/kept main; sha256sum < package-lock.json | cmp - node_modules/a/digest && ls -A;"
    " git status --porcelain --ignored; grep -c . /etc/prepared"
)


def git(repository: Path, *words: str) -> None:
    subprocess.run(["git", "-C", repository, *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def banger(ready_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Banger]:
    banger = copy_state(ready_state, tmp_path_factory.mktemp("home"))
    banger.env |= {"BANGER_TEMPLATES": "on", "TOKEN": SECRET}
    try:
        yield banger
    finally:
        banger.stop()
    assert banger.litter() == []


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("checkout")
    git(repository, "init", "-q", "-b", "main")
    git(repository, "config", "user.name", "Some One")
    git(repository, "config", "user.email", "one@example.org")
    (repository / "sub").mkdir()
    for name, text in {
        ".gitignore": "node_modules\n.env\n",
        "package.json": "{}",
        "package-lock.json": '{"lock": 1}',
        "main": "first\n",
        "sub/kept": "ours\n",
    }.items():
        (repository / name).write_text(text)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "first")
    (repository / ".env").write_text(SECRET)
    (repository / "notes").write_text(SECRET)
    return repository


def kinds(banger: Banger, checkout: Path, *words: str) -> dict[str, str]:
    plan = json.loads(banger.ok("plan", "vm", "run", *SHAPE, str(checkout), *words, "--json"))
    return {node["kind"]: node["cache"] for node in plan["nodes"]}


def artifacts(banger: Banger, kind: str) -> list[Path]:
    with contextlib.closing(sqlite3.connect(f"file:{banger.state}/banger.db?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT artifacts FROM actions WHERE kind = ?", (kind,)).fetchall()
    names = [one.removeprefix("sha256:") for (row,) in rows for one in json.loads(row)]
    return [banger.state / "cas" / "sha256" / name[:2] / name for name in names]


def test_another_branch_with_the_same_lock_file_starts_from_the_frozen_set_up(banger: Banger, checkout: Path) -> None:
    words = ("vm", "run", "--rm", *SHAPE, str(checkout), "--setup", COMMAND, "--", "sh", "-c", LOOK)
    begun = time.monotonic()
    first = banger.ok(*words).splitlines()
    first_s = time.monotonic() - begun
    seen = ["package-lock.json", "package.json"]
    files = [".git", ".gitignore", "main", "node_modules", "package-lock.json", "package.json", "sub"]
    assert first[:-1] == [*seen, "ours", "first", *files, "?? sub/made/", "!! node_modules/"]
    wait_until(lambda: bool(json.loads(banger.ok("template", "ls", "--json"))), 120)

    git(checkout, "checkout", "-q", "-b", "other")
    (checkout / "main").write_text("second\n")
    git(checkout, "commit", "-q", "-a", "-m", "second")
    found = kinds(banger, checkout, "--setup", COMMAND)
    assert found["vm.setup"] == found["vm.template"] == "hit"
    assert "vm.restore" in found
    begun = time.monotonic()
    second = banger.ok(*words).splitlines()
    second_s = time.monotonic() - begun
    assert second == [line.replace("first", "second") for line in first]
    assert second_s * 5 <= first_s, (first_s, second_s)
    (template,) = json.loads(banger.ok("template", "ls", "--json"))
    assert template["current"]
    assert template["setup"].endswith("[package-lock.json, package.json]")


def test_a_larger_disk_begins_with_the_same_set_up_though_it_boots(banger: Banger, checkout: Path) -> None:
    """The size of the work disk is in the key only as far as it is smaller than what set-ups are made on."""
    look = "df -B1M --output=size /root | tail -1; wc -l < node_modules/a/digest"
    words = ("--disk-size", "10G", "--cold", str(checkout), "--setup", COMMAND, "--", "sh", "-c", look)
    mib, lines = banger.ok("vm", "run", "--rm", *SHAPE, *words).split()
    assert (int(mib) > 9 * 1024, lines) == (True, "1")


def test_another_command_or_lock_file_is_another_set_up_and_the_working_tree_is_not(
    banger: Banger, checkout: Path
) -> None:
    assert kinds(banger, checkout, "--setup", COMMAND)["vm.setup"] == "hit"
    assert kinds(banger, checkout, "--setup", COMMAND, "--branch", "trial")["vm.setup"] == "hit"
    assert kinds(banger, checkout, "--setup", f"{COMMAND};")["vm.setup"] == "miss"
    assert kinds(banger, checkout, "--setup", COMMAND, "--setup-lock", "package.json")["vm.setup"] == "miss"
    (checkout / "package-lock.json").write_text('{"lock": 2}')
    try:
        assert kinds(banger, checkout, "--setup", COMMAND)["vm.setup"] == "miss"
    finally:
        git(checkout, "checkout", "-q", "package-lock.json")
    assert "vm.setup" not in kinds(banger, checkout)


def test_nothing_secret_is_in_a_set_up(banger: Banger) -> None:
    secrets = [SECRET.encode(), str(banger.state).encode(), (banger.state / "ssh" / "id_ed25519.pub").read_bytes()[:60]]
    places = [*artifacts(banger, "vm.setup"), *artifacts(banger, "vm.template")]
    assert len(places) == 5
    for place in places:
        data = place.read_bytes()
        assert not [secret for secret in secrets if secret in data]


def test_a_set_up_that_fails_says_its_last_words_and_leaves_nothing(banger: Banger, checkout: Path) -> None:
    (checkout / "banger.toml").write_text('[setup]\ncommand = "echo no such package >&2; exit 3"\nlocks = ["main"]\n')
    try:
        done = banger.run("vm", "run", "--rm", *SHAPE, str(checkout), "--", "true")
        assert done.returncode == 1
        assert "banger.toml asks for a set-up: echo no such package >&2; exit 3 [main]" in done.stderr
        assert "exit status 3" in done.stderr
        assert "no such package" in done.stderr.split("exit status 3")[1]
        assert banger.litter() == []
        assert kinds(banger, checkout)["vm.setup"] == "miss"
        assert "vm.setup" not in kinds(banger, checkout, "--no-setup")
    finally:
        (checkout / "banger.toml").unlink()
