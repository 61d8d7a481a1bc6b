"""What file_sync copies, and with which owner and mode: unpacked by tar(1), as it is in a guest."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from banger.filesync import SKIPPED_LINK, Copied, Copying
from banger.model.config import FileSync
from banger.model.errors import HostError, SpecError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    folder = tmp_path / "guest"
    folder.mkdir()
    return folder


def copy(home: Path, guest: Path, *entries: FileSync) -> Copied:
    """Copy into a directory that stands for the guest's /root."""
    copying = Copying(entries, str(home))
    stream = b"".join(copying.pieces())
    subprocess.run(["tar", "-x", "-p", "-f", "-", "-C", guest], input=stream, check=True)
    return copying.done


def tree(guest: Path) -> dict[str, tuple[str, bytes]]:
    """Modes and contents by path; of a directory, no content."""
    found = {}
    for path in sorted(guest.rglob("*")):
        content = b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(guest))] = f"{stat.S_IMODE(path.lstat().st_mode):04o}", content
    return found


@pytest.mark.requirement("FSY-001", "TST-001")
def test_without_entries_nothing_is_copied(home: Path, guest: Path) -> None:
    (home / "file").write_text("x")
    assert copy(home, guest) == Copied()
    assert tree(guest) == {}


@pytest.mark.requirement("FSY-002", "FSY-003", "FSY-008", "TST-001")
def test_a_file_is_for_root_alone_unless_the_entry_has_a_mode(home: Path, guest: Path) -> None:
    (home / "plain").write_text("plain\n")
    (home / "plain").chmod(0o666)
    (home / "tool").write_text("tool\n")
    done = copy(
        home,
        guest,
        FileSync("~/plain", "/root/.config/deep/plain"),
        FileSync(f"{home}/tool", "/root/bin/tool", 0o755),
    )
    found = tree(guest)
    assert found[".config/deep/plain"] == ("0600", b"plain\n")
    assert found["bin/tool"] == ("0755", b"tool\n")
    assert (done.files, done.size_bytes, done.warnings) == (2, 11, [])
    if os.geteuid() == 0:
        assert {(path.stat().st_uid, path.stat().st_gid) for path in guest.rglob("*")} == {(0, 0)}


@pytest.mark.requirement("FSY-009", "TST-001")
def test_a_directory_keeps_its_modes_whatever_the_entry_says(home: Path, guest: Path) -> None:
    (home / "tree/empty").mkdir(parents=True)
    (home / "tree/private").mkdir(mode=0o700)
    for name, mode in (("a", 0o640), ("private/key", 0o400), ("run", 0o755), ("odd", 0o4711)):
        (home / "tree" / name).write_text(name)
        (home / "tree" / name).chmod(mode)
    copy(home, guest, FileSync("~/tree", "/root/x/tree", 0o777))
    found = {name: mode for name, (mode, _content) in tree(guest).items()}
    assert found.pop("x") in {"0755", "0700"}
    assert found.pop("x/tree") == found.pop("x/tree/empty") == "0755"
    assert found == {
        "x/tree/a": "0640",
        "x/tree/private": "0700",
        "x/tree/private/key": "0400",
        "x/tree/run": "0755",
        "x/tree/odd": "0711",  # who may become whom is nothing to copy
    }


@pytest.mark.requirement("FSY-006", "TST-001")
def test_a_path_that_is_not_there_is_skipped_with_a_warning(home: Path, guest: Path) -> None:
    (home / "there").write_text("x")
    (home / "dangling").symlink_to("nowhere")
    done = copy(
        home,
        guest,
        FileSync("~/none", "/root/none"),
        FileSync("~/there/below", "/root/below"),
        FileSync("~/dangling", "/root/dangling"),
        FileSync("~/there", "/root/there"),
    )
    names = ("~/none", "~/there/below", "~/dangling")
    assert done.warnings == [f"file_sync skipped {name}: it is not there" for name in names]
    assert set(tree(guest)) == {"there"}


@pytest.mark.requirement("FSY-010", "TST-001")
def test_what_is_in_the_guest_is_replaced(home: Path, guest: Path) -> None:
    (home / "file").write_text("new\n")
    (home / "tree").mkdir()
    (home / "tree/inner").write_text("new\n")
    (guest / "file").write_text("old and longer\n")
    (guest / "file").chmod(0o644)
    (guest / "other").write_text("other\n")
    (guest / "tree").mkdir()
    (guest / "tree/inner").symlink_to("../other")
    (guest / "tree/kept").write_text("kept\n")
    copy(home, guest, FileSync("~/file", "/root/file"), FileSync("~/tree", "/root/tree"))
    found = tree(guest)
    assert found["file"] == ("0600", b"new\n")
    assert found["tree/inner"][1] == b"new\n"
    assert found["other"][1] == b"other\n"
    assert found["tree/kept"][1] == b"kept\n"


@pytest.mark.requirement("FSY-011", "TST-001")
def test_links_in_a_directory_are_skipped_each_with_its_warning(home: Path, guest: Path) -> None:
    (home / "tree/sub").mkdir(parents=True)
    (home / "tree/good").write_text("good")
    (home / "secret").write_text("secret")
    (home / "folder").mkdir()
    (home / "folder/secret").write_text("secret")
    (home / "tree/file-link").symlink_to("../secret")
    (home / "tree/sub/folder-link").symlink_to(home / "folder")
    done = copy(home, guest, FileSync("~/tree", "/root/tree"))
    assert set(tree(guest)) == {"tree", "tree/good", "tree/sub"}
    assert done.warnings == [f"{SKIPPED_LINK}: '~/tree/file-link'", f"{SKIPPED_LINK}: '~/tree/sub/folder-link'"]
    assert SKIPPED_LINK == "file_sync skipped symlink (would escape the requested tree)"


@pytest.mark.requirement("FSY-012")
def test_a_link_that_an_entry_names_is_followed_within_the_home(home: Path, guest: Path, tmp_path: Path) -> None:
    (home / "real").mkdir()
    (home / "real/file").write_text("x")
    (home / "link").symlink_to("real")
    (home / "out").symlink_to(tmp_path)
    copy(home, guest, FileSync("~/link", "/root/a"), FileSync("~/link/file", "/root/b"))
    assert set(tree(guest)) == {"a", "a/file", "b"}
    with pytest.raises(SpecError, match=r"file_sync\[1\]: ~/out leads to .*, which is not in your home"):
        copy(home, guest, FileSync("~/link", "/root/a"), FileSync("~/out", "/root/c"))


@pytest.mark.requirement("FSY-003", "DMN-006")
def test_a_path_outside_of_the_home_is_refused(home: Path, guest: Path, tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("x")
    for path in (f"{tmp_path}/beside", "/etc/passwd", f"{home}-other"):
        Path(f"{home}-other").mkdir(exist_ok=True)
        with pytest.raises(SpecError, match=r"file_sync\[0\]: .* is not in your home"):
            copy(home, guest, FileSync(path, "/root/x"))
    assert tree(guest) == {}


def test_a_home_behind_a_link_is_a_home(home: Path, guest: Path, tmp_path: Path) -> None:
    (home / "file").write_text("x")
    (tmp_path / "me").symlink_to(home)
    copy(tmp_path / "me", guest, FileSync("~/file", "/root/a"), FileSync(f"{home}/file", "/root/b"))
    assert set(tree(guest)) == {"a", "b"}


@pytest.mark.requirement("FSY-007")
def test_what_cannot_be_read_is_an_error(home: Path, guest: Path) -> None:
    (home / "loop").symlink_to("loop")
    with pytest.raises(HostError, match=r"file_sync\[0\]: ~/loop: Too many levels"):
        copy(home, guest, FileSync("~/loop", "/root/x"))
    os.mkfifo(home / "pipe")
    with pytest.raises(SpecError, match=r"file_sync\[0\]: ~/pipe is neither a file nor a directory"):
        copy(home, guest, FileSync("~/pipe", "/root/x"))


def test_the_key_that_banger_logs_in_with_is_never_replaced(home: Path, guest: Path) -> None:
    (home / ".ssh").mkdir(mode=0o775)
    (home / ".ssh/authorized_keys").write_text("mine")
    (home / ".ssh/config").write_text("Host *")
    (home / ".ssh").chmod(0o775)
    (guest / ".ssh").mkdir(mode=0o700)
    (guest / ".ssh/authorized_keys").write_text("banger's")
    done = copy(home, guest, FileSync("~/.ssh", "/root/.ssh"))
    found = tree(guest)
    assert found[".ssh"][0] == "0700"
    assert found[".ssh/authorized_keys"][1] == b"banger's"
    assert found[".ssh/config"][1] == b"Host *"
    assert len(done.warnings) == 1


def test_large_files_and_many_arrive_whole(home: Path, guest: Path) -> None:
    (home / "tree").mkdir()
    large = os.urandom(3 << 20)
    (home / "tree/large").write_bytes(large)
    for number in range(500):
        (home / "tree" / f"{number:0100d}").write_bytes(b"%d" % number)
    done = copy(home, guest, FileSync("~/tree", "/root/tree"))
    found = tree(guest)
    assert found["tree/large"][1] == large
    assert all(found[f"tree/{number:0100d}"][1] == b"%d" % number for number in range(500))
    assert done.files == 501
