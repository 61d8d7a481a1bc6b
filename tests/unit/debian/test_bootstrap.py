"""When there is memory enough for a tree."""

from pathlib import Path

import pytest

from banger.debian.bootstrap import available_memory


@pytest.mark.parametrize(
    ("text", "available"),
    [
        ("MemTotal:  9 kB\nMemAvailable:   2048 kB\n", 2 * 1024 * 1024),
        ("MemTotal:  9 kB\n", 0),
        ("MemAvailable: many kB\n", 0),
        ("", 0),
    ],
)
def test_available_memory_is_read_or_taken_as_none(tmp_path: Path, text: str, available: int) -> None:
    (tmp_path / "meminfo").write_text(text)
    assert available_memory(tmp_path / "meminfo") == available
    assert available_memory(tmp_path / "missing") == 0
