"""`vm cp`: the real command line, daemon and agent, and the real tar; the guest's files are this machine's."""

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.cli.vm_cp import Place, parse_place
from tests.fakes.agent import build_checked_agent
from tests.fakes.installation import Installation, installed


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    agent = build_checked_agent(tmp_path_factory.mktemp("agent"))
    with installed(tmp_path_factory.mktemp("cp")) as installation:
        installation.env["FAKE_AGENT"] = str(agent)
        installation.ok("vm", "list")
        installation.create("box")
        yield installation


@pytest.fixture
def host(tmp_path: Path) -> Path:
    folder = tmp_path / "host"
    (folder / "tree/sub").mkdir(parents=True)
    (folder / "tree/sub/data").write_bytes(os.urandom(300_000))
    (folder / "tree/run").write_text("#!/bin/sh\n")
    (folder / "tree/run").chmod(0o755)
    (folder / "tree/link").symlink_to("sub/data")
    (folder / "one").write_text("one\n")
    return folder


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    folder = tmp_path / "guest"
    folder.mkdir()
    return folder


def same(one: Path, other: Path) -> bool:
    return subprocess.run(["diff", "-r", "--no-dereference", one, other], check=False).returncode == 0


def test_a_file_goes_in_under_its_own_name_or_another_and_comes_back(
    box: Installation, host: Path, guest: Path, tmp_path: Path
) -> None:
    box.ok("vm", "cp", str(host / "one"), f"box:{guest}")
    box.ok("vm", "cp", str(host / "one"), f"box:{guest}/other")
    assert (guest / "one").read_text() == (guest / "other").read_text() == "one\n"
    box.ok("vm", "cp", f"box:{guest}/other", str(tmp_path))
    box.ok("vm", "cp", f"box:{guest}/other", f"{tmp_path}/third")
    assert (tmp_path / "other").read_text() == (tmp_path / "third").read_text() == "one\n"


def test_a_directory_goes_both_ways_whole(box: Installation, host: Path, guest: Path, tmp_path: Path) -> None:
    box.ok("vm", "cp", str(host / "tree"), f"box:{guest}")
    assert same(host / "tree", guest / "tree")
    assert os.access(guest / "tree/run", os.X_OK)
    box.ok("vm", "cp", str(host / "tree"), f"box:{guest}/renamed")
    assert same(host / "tree", guest / "renamed")
    box.ok("vm", "cp", f"{host}/tree/.", f"box:{guest}")
    assert same(host / "tree/sub", guest / "sub")
    back = tmp_path / "back"
    box.ok("vm", "cp", f"box:{guest}/tree", str(back))
    assert same(host / "tree", back)
    box.ok("vm", "cp", f"box:{guest}/tree", str(back))
    assert same(host / "tree", back / "tree")
    content = tmp_path / "content"
    box.ok("vm", "cp", f"box:{guest}/tree/.", str(content))
    assert same(host / "tree", content)


def test_a_tar_goes_through_stdin_and_stdout(box: Installation, host: Path, guest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tar"
    with out.open("wb") as stdout:
        subprocess.run(
            box.argv("vm", "cp", f"box:{host}/tree", "-"), env=box.env, stdout=stdout, check=True, timeout=60
        )
    with tarfile.open(out) as tar:
        assert "tree/sub/data" in tar.getnames()
    with out.open("rb") as stdin:
        subprocess.run(box.argv("vm", "cp", "-", f"box:{guest}"), env=box.env, stdin=stdin, check=True, timeout=60)
    assert same(host / "tree", guest / "tree")


def test_what_cannot_be_copied_is_told_in_one_line(box: Installation, host: Path, guest: Path) -> None:
    for words, reason in (
        ((f"box:{guest}/none", str(host)), "there is no such file or directory in the VM"),
        ((str(host / "none"), f"box:{guest}"), "there is no such file or directory"),
        ((str(host / "one"), f"box:{guest}/no/where"), "there is no such directory in the VM"),
        ((str(host / "one"), f"box:{guest}/new/"), "there is no such directory in the VM"),
        ((str(host / "tree"), f"box:{host}/one"), "a directory cannot be copied onto it"),
        ((f"box:{host}/one", f"{guest}/new/"), "there is no such directory"),
        ((str(host), str(guest)), "must be NAME:PATH"),
        (("box:/a", "box:/b"), "must be NAME:PATH"),
        (("none:/a", str(guest)), "there is none such"),
        (("box:", str(guest)), "which path in the VM?"),
    ):
        done = box.run("vm", "cp", *words)
        assert done.returncode == 1, words
        assert reason in done.stderr.splitlines()[0]
        assert list(guest.iterdir()) == []


def test_what_the_guest_may_not_give_is_left_out_and_the_status_says_so(
    box: Installation, guest: Path, tmp_path: Path
) -> None:
    (guest / "file").write_text("x")
    (guest / "evil").symlink_to("/etc/passwd")
    os.mkfifo(guest / "fifo")
    done = box.run("vm", "cp", f"box:{guest}", f"{tmp_path}/copy")
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        "banger: left out: evil: a link to /etc/passwd, which is outside",
        "banger: left out: fifo: a device or FIFO",
    ]
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["file"]


def test_more_than_is_allowed_is_not_taken(box: Installation, host: Path, tmp_path: Path) -> None:
    done = box.run("vm", "cp", "--max-size", "100K", f"box:{host}/tree", f"{tmp_path}/copy")
    assert done.returncode == 1
    assert "the guest sends more than 102400 bytes" in done.stderr
    assert [path for path in (tmp_path / "copy").rglob("*") if path.name.startswith(".banger")] == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("box:/a", Place("box", "/a")),
        ("box:a:b", Place("box", "a:b")),
        ("./box:/a", None),
        ("/box:/a", None),
        ("Box:/a", None),
        ("plain", None),
        (":/a", None),
    ],
)
def test_a_name_and_a_colon_make_a_place_in_a_vm(text: str, place: Place | None) -> None:
    assert parse_place(text) == place
