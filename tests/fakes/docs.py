"""Commands of a page of the documentation, for tests that run them."""

import re
import shlex
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def commands(page: str) -> list[list[str]]:
    """The words after `banger` of every command in a `console` block of the page."""
    blocks = re.findall(r"```console\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    found = [shlex.split(line[2:]) for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert found, page
    assert all(words[0] == "banger" for words in found), page
    return [words[1:] for words in found]
