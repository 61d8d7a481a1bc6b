"""Write the keys of the configuration into docs/config.md, from the schema: `python scripts/make_config_docs.py`.

With `--check` nothing is written, and the exit status is 1 if the page is not as it should be.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from banger.model.config_keys import KEYS, TABLES, Key

PAGE = Path(__file__).parents[1] / "docs" / "config.md"
BEGIN, END = "<!-- keys -->\n", "<!-- end of keys -->"


def keys() -> str:
    """The part of the page that is made."""
    return "".join(_parts())


def _parts() -> Iterator[str]:
    table = ""
    for key in KEYS:
        above, dot, _name = key.name.partition(".")
        if dot and above != table:
            table = above
            yield f"\n### [{above}]\n\n{TABLES[above]}\n"
        elif not dot and table:
            table = ""
        yield from _key(key, above if dot else "")


def _key(key: Key, table: str) -> Iterator[str]:
    yield f"\n#### `{key.name}`\n\n{key.meaning}\n\n"
    default = f"`{key.default}`" if re.fullmatch(r"[\w.-]+", key.default) else key.default
    rows = [("type", key.type), ("default", default)]
    rows += [("variable", f"`{key.env}`")] if key.env else []
    yield "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)
    heads = {"mirrors": "[mirrors]\n", "file_sync": "[[file_sync]]\n"}
    head = f"[{table}]\n" if table else heads.get(key.name, "")
    yield f"\n```toml\n{head}{key.example}\n```\n"


def written(page: str) -> str:
    """The page with the keys as they should be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{keys()}\n{END}{after}"


def main() -> int:
    """Write the page, or check it."""
    page = PAGE.read_text()
    if "--check" in sys.argv[1:]:
        return int(written(page) != page)
    PAGE.write_text(written(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
