"""Draw the states of a node into docs/engine.md, from the table of moves: `python scripts/draw_states.py`."""

import re
import sys
from pathlib import Path

from banger.graph.states import diagram

PAGE = Path(__file__).parents[1] / "docs" / "engine.md"


def drawn(text: str) -> str:
    """The page with the diagram as it should be."""
    return re.sub(r"(?<=```mermaid\n).*?(?=```\n)", lambda _: diagram(), text, count=1, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
    sys.exit(0)
