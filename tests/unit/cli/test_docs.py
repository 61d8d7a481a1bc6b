"""The commands in the pages of the documentation do what they say they do."""

from pathlib import Path

import pytest

from banger.model.history import REASONS
from tests.fakes.docs import DOCS, commands
from tests.fakes.installation import Installation


def test_every_command_of_the_page_works(banger: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands("plan-and-trace.md"):
        assert banger.ok(*words) or "--html" in words or "--chrome" in words, words
    assert {"plan.html", "trace.html", "bench.html", "trace.json"} <= {path.name for path in tmp_path.iterdir()}


def test_the_page_lists_every_reason() -> None:
    text = (DOCS / "plan-and-trace.md").read_text()
    for reason in REASONS:
        assert f"| `{reason}` |" in text or f"| `{reason}:NAME` |" in text


@pytest.mark.parametrize("page", ["advanced.md", "config.md"])
def test_every_command_of_another_page_works(banger: Installation, page: str) -> None:
    for words in commands(page):
        banger.ok(*words)
    assert banger.names() == []
