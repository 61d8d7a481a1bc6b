"""Print the rows of docs/requirements.md that no test shows: `scripts/requirements_report [--group CLI] [--all]`.

A test shows a row if it bears the marker, `@pytest.mark.requirement("CLI-004")`. Sources are read, not imported: tests
that need what this machine lacks count as well. The exit status is 1 if a marker names a row that is not there.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"\| ([A-Z]{3}-[0-9]{3}) \| (.+) \|\Z")
MARKER = "requirement"


def rows(page: Path = ROOT / "docs" / "requirements.md") -> dict[str, str]:
    """What each row says, by its id, in the page's order."""
    found = [match for line in page.read_text().splitlines() if (match := ROW.match(line))]
    return {match[1]: match[2] for match in found}


def shown(folder: Path = ROOT / "tests") -> dict[str, list[str]]:
    """The places of the markers, by the id that they name."""
    places: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_bytes(), filename=str(path))
        for owner, call in _markers(tree, ""):
            name = str(path.relative_to(folder.parent)) + (f"::{owner}" if owner else "")
            for argument in call.args:
                # A marker that is computed cannot be read here, and is named as what it is.
                row = ast.literal_eval(argument) if isinstance(argument, ast.Constant) else ast.unparse(argument)
                places.setdefault(str(row), []).append(name)
    return places


def _markers(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.Call]]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == MARKER:
        yield owner, node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        owner = node.name
    for child in ast.iter_child_nodes(node):
        yield from _markers(child, owner)


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--group", action="append", default=[], help="only this group, such as CLI; may be repeated")
    parser.add_argument("--all", action="store_true", help="print the rows that a test shows too, with the tests")
    options = parser.parse_args()
    wanted = {row: text for row, text in rows().items() if not options.group or row[:3] in options.group}
    places = shown()
    for row, text in wanted.items():
        if row not in places:
            print(f"{row}  {text}")
        elif options.all:
            print(f"{row}  shown by {', '.join(places[row])}")
    missing = sum(row not in places for row in wanted)
    print(f"{missing} of {len(wanted)} rows have no test", file=sys.stderr)
    unknown = sorted(set(places) - set(rows()))
    for row in unknown:
        print(f"{row!r} is no row, but is shown by {', '.join(places[row])}", file=sys.stderr)
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
