"""Write a manual page for each command, from its own help: `python scripts/make_man.py DIRECTORY`, or `make man`.

Pages are called as git's are: `banger-vm-run.1` is of `banger vm run`. What depends on the host is left out, so that
equal commands give equal pages.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from banger import __version__
from banger.cli.app import LazyGroup, _tree

_OF_THIS_HOST = re.compile(r"( in MiB or as 2G)? \(default [^)]*\)")
_HOSTS_OPTIONS = frozenset({"image", "vcpu", "memory", "disk_size"})
_SEE_ALSO = "The configuration, and much else, is described in the pages of banger's docs directory."


def pages() -> Iterator[tuple[str, str]]:
    """The name and the text of every page."""
    yield from _pages(_tree(), ("banger",))


def _pages(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    yield "-".join(path), "\n".join(_page(command, path)) + "\n"
    if isinstance(command, LazyGroup):
        context = click.Context(command, info_name=path[-1])
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _pages(below, (*path, name))


def _page(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    title = "-".join(path)
    context = click.Context(command, info_name=" ".join(path))
    yield f'.TH "{_text(title.upper())}" 1 "" "banger {__version__}" "User Commands"'
    yield ".SH NAME"
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    yield f"{_text(title)} \\- {_text(_joined(paragraphs[0]).split('. ')[0].rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield f".B {_text(' '.join(path))}"
    yield _text(" ".join(command.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    for paragraph in paragraphs:
        yield _text(_joined(paragraph))
        yield ".PP"
    yield from _options(command, context)
    if isinstance(command, LazyGroup):
        yield from _commands(command, path)
    yield ".SH SEE ALSO"
    if len(path) > 1:
        yield f".BR {_text('-'.join(path[:-1]))} (1)"
        yield ".PP"
    yield _SEE_ALSO


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    found = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    records = [(option, record) for option in found if (record := option.get_help_record(context))]
    if records:
        yield ".SH OPTIONS"
    for option, (names, said) in records:
        yield ".TP"
        yield f".B {_text(names)}"
        yield _text(_OF_THIS_HOST.sub(r"\1", said) if option.name in _HOSTS_OPTIONS else said)


def _commands(group: LazyGroup, path: tuple[str, ...]) -> Iterator[str]:
    yield ".SH COMMANDS"
    for name, entry in group.entries():
        yield ".TP"
        yield f".BR {_text('-'.join((*path, name)))} (1)"
        yield _text(entry)


def _joined(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _text(text: str) -> str:
    """Text as groff takes it: no escapes, no requests, and a hyphen that can be copied (groff_man_style(7))."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "\\&...")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main() -> int:
    """Write the pages."""
    directory = Path(sys.argv[1]) / "man1"
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        (directory / f"{name}.1").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
