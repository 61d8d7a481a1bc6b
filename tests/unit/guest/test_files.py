"""The files that an image is given, byte for byte where they decide who may log in."""

import pytest

from banger.guest.files import GUEST_FILES, SSHD_DROP_IN


@pytest.mark.requirement("SSH-003", "TST-003")
def test_the_sshd_drop_in_is_exactly_this() -> None:
    assert SSHD_DROP_IN.path == "/etc/ssh/sshd_config.d/99-banger.conf"
    assert SSHD_DROP_IN.content.decode().splitlines() == [
        "PermitRootLogin prohibit-password",
        "PubkeyAuthentication yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "AuthorizedKeysFile /root/.ssh/authorized_keys",
    ]


@pytest.mark.requirement("TST-003")
def test_the_sshd_drop_in_weakens_nothing() -> None:
    text = SSHD_DROP_IN.content.decode().lower()
    for weak in ("permitrootlogin yes", "strictmodes", "loglevel", "debug", "permitemptypasswords"):
        assert weak not in text


def test_no_file_of_an_image_can_be_written_by_others() -> None:
    for file in GUEST_FILES:
        assert file.mode & 0o022 == 0, file.path
        assert file.path.startswith("/")


def test_the_machine_id_is_left_for_each_machine() -> None:
    assert {file.path: file.content for file in GUEST_FILES}["/etc/machine-id"] == b""
