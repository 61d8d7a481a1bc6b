"""What an image says of itself is read out of its layers, believed only as far as it has the form, and harmless."""

from pathlib import Path

import pytest

from banger.layers.options import Facts
from tests.unit.ext4.images import Entry
from tests.unit.layers.images import SYMLINK, flatten_here, layers_of

DEBIAN = b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n'


def facts(folder: Path, *layers: list[Entry]) -> Facts:
    return flatten_here(layers_of(folder, layers), folder / "image").facts


def test_a_system_is_known_by_its_os_release_through_symlinks(tmp_path: Path) -> None:
    found = facts(
        tmp_path,
        [
            Entry(b"usr/lib/os-release", data=DEBIAN),
            Entry(b"etc/os-release", SYMLINK, link=b"../usr/lib/os-release"),
            Entry(b"usr/sbin/sshd.real", data=b"x"),
            Entry(b"usr/sbin/sshd", SYMLINK, link=b"/usr/sbin/sshd.real"),
        ],
    )
    assert found == Facts(("debian",), "12", "bookworm", "Debian GNU/Linux 12 (bookworm)", has_sshd=True)


def test_the_topmost_layer_decides(tmp_path: Path) -> None:
    found = facts(
        tmp_path,
        [Entry(b"etc/os-release", data=DEBIAN), Entry(b"usr/sbin/sshd", data=b"x")],
        [Entry(b"etc/os-release", data=b"ID='alma'\nID_LIKE=\"rhel fedora\"\n"), Entry(b"usr/sbin/.wh.sshd")],
    )
    assert (found.os_ids, found.has_sshd) == (("alma", "rhel", "fedora"), False)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100_000,
        b"ID=" + b"a" * 500,
        b"ID=$(reboot)\nPRETTY_NAME=`id`\n",
        b'ID="../../etc"\nID_LIKE="A B;C"\n',
        b"\xff\xfe\xfd",
        b"ID\n=\n==\n",
    ],
)
def test_what_has_not_the_form_is_not_there(tmp_path: Path, content: bytes) -> None:
    assert facts(tmp_path, [Entry(b"etc/os-release", data=content)]) == Facts()


@pytest.mark.parametrize("target", ["os-release", "/etc/os-release", "../../../../nowhere", "/etc", "x" * 4000])
def test_a_symlink_that_leads_nowhere_or_round_is_nothing(tmp_path: Path, target: str) -> None:
    assert facts(tmp_path, [Entry(b"etc/os-release", SYMLINK, link=target.encode())]).os_ids == ()


def test_an_image_of_one_program_says_nothing(tmp_path: Path) -> None:
    assert facts(tmp_path, [Entry(b"app", data=b"\x7fELF")]) == Facts()
