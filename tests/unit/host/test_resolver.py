"""A guest is told of a name server that it can reach, or of none."""

from pathlib import Path

import pytest

from banger.host.resolver import name_server


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 192.0.2.53\n", "192.0.2.53"),
        ("# nameserver 192.0.2.1\nsearch example\nnameserver 127.0.0.53\nnameserver 192.0.2.53 # ours\n", "192.0.2.53"),
        ("nameserver ::1\nnameserver fe80::1%eth0\nnameserver\nnameserver x\n", ""),
        ("", ""),
    ],
)
def test_the_first_that_is_not_on_loopback_is_taken(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    assert name_server((tmp_path / "none", tmp_path / "resolv.conf")) == found
