"""`banger vm cp`: copy files into a VM or out of it, with the tar in the guest and none of this host's."""

import os
import posixpath
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from banger.cli.amounts import parse_bytes
from banger.cli.app import RemoteExitError
from banger.cli.output import sanitised
from banger.cli.pack import Packer
from banger.cli.piped import run_piped
from banger.cli.remote import run_remote
from banger.cli.start_daemon import daemon
from banger.cli.unpack import Bounds, Unpacker
from banger.model.errors import BangerError, GuestError, HostError, NotFoundError, SpecError
from banger.model.exec import ExecRequest
from banger.model.vm import VM_NAME

STREAM = "-"
_LOOK = (
    'if [ -d "$1" ]; then echo directory; elif [ -e "$1" ] || [ -L "$1" ]; then echo file;'
    ' elif [ -d "$(dirname -- "$1")" ]; then echo new; else echo nothing; fi'
)
_SAID_MOST_BYTES = 64
_NOT_FOUND = 127


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a guest. Its name's last part is `base`, in the directory `above`."""

    vm: str
    path: str

    @property
    def above(self) -> str:
        """The directory that it is in."""
        return posixpath.dirname(self.path.rstrip("/")) or ("/" if self.path.startswith("/") else ".")

    @property
    def base(self) -> str:
        """The last part of its name."""
        return posixpath.basename(self.path.rstrip("/"))


@click.command("cp")
@click.argument("source", metavar="SOURCE")
@click.argument("dest", metavar="DEST")
@click.option(
    "--max-size", default="64G", metavar="SIZE", help="Take no more than this out of a VM (default 64G): it may lie."
)
def command(*, source: str, dest: str, max_size: str) -> None:
    """Copy a file or a directory into a VM, or out of it: one of SOURCE and DEST is NAME:PATH, the other a local path.

    DEST is the new name, or a directory to copy into. A SOURCE that ends in /. is a directory's content. A relative
    PATH is below /root. As the local path - is a tar, on stdin or stdout.
    """
    bounds = Bounds(content_bytes=parse_bytes(max_size))
    inside, outside = parse_place(source), parse_place(dest)
    if (inside is None) == (outside is None):
        raise SpecError(
            "one of SOURCE and DEST must be NAME:PATH, and the other a local path", hint="banger vm cp --help"
        )
    if inside is not None:
        left_out = _stream_out(inside) if dest == STREAM else copy_out(inside, dest, bounds)
    else:
        assert outside is not None
        left_out = _stream_in(outside) if source == STREAM else copy_in(source, outside)
    for line in left_out:
        print(f"banger: left out: {sanitised(line)}", file=sys.stderr)
    if left_out:
        raise RemoteExitError(1)


def parse_place(text: str) -> Place | None:
    """Read NAME:PATH; None for a local path, such as ./a:b or /a:b."""
    name, colon, path = text.partition(":")
    if not colon or not VM_NAME.match(name):
        return None
    if not path or "\0" in path:
        raise SpecError(f"{text[:80]!r}: which path in the VM?")
    return Place(name, path)


def copy_in(source: str, dest: Place) -> list[str]:
    """Copy a local file or directory into a guest; return what was left out. Raises SpecError for what cannot be."""
    local = Path(source)
    if not local.exists():
        raise NotFoundError(f"{source}: there is no such file or directory")
    is_directory = local.is_dir()
    there = _look(dest)
    only_content = is_directory and source.endswith("/.")
    name = os.fsencode(local.resolve().name if local.name in {"", "..", "."} else local.name)
    if there == "directory":
        into, name = dest.path, b"" if only_content else name
    elif there == "nothing" or (there == "new" and not is_directory and dest.path.endswith("/")):
        raise NotFoundError(f"{dest.vm}:{dest.path}: there is no such directory in the VM")
    elif there == "file" and is_directory:
        raise SpecError(f"{dest.vm}:{dest.path} is a file, and a directory cannot be copied onto it")
    else:
        into, name = dest.above, os.fsencode(dest.base)
    packer = Packer()
    with daemon() as client:
        argv = ("tar", "-C", into, "-xf", "-")
        status, complaint = run_piped(client, dest.vm, ExecRequest(argv), source=packer.stream(local, name))
    _check(dest, status, complaint)
    return packer.left_out


def copy_out(source: Place, dest: str, bounds: Bounds) -> list[str]:
    """Copy a guest's file or directory here; return what was left out. Raises GuestError for what cannot be taken."""
    there = _look(source)
    if there not in {"directory", "file"}:
        raise NotFoundError(f"{source.vm}:{source.path}: there is no such file or directory in the VM")
    local = Path(dest)
    is_directory = there == "directory"
    if is_directory:
        only_content = source.path.endswith("/.")
        target = local if only_content or not local.is_dir() else local / _name_of(source)
        return _receive(source, ("tar", "-C", source.path, "-cf", "-", "."), target, None, bounds)
    if dest.endswith("/") and not local.is_dir():
        raise NotFoundError(f"{dest}: there is no such directory")
    folder, name = (local, _name_of(source)) if local.is_dir() else (local.parent, local.name)
    argv = ("tar", "-C", source.above, "-chf", "-", "--", source.base)
    return _receive(source, argv, folder, os.fsencode(name), bounds)


def _receive(source: Place, argv: tuple[str, ...], folder: Path, only: bytes | None, bounds: Bounds) -> list[str]:
    try:
        if only is None:
            folder.mkdir(exist_ok=True)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{folder}: {error.strerror}") from error
    unpacker = Unpacker(directory, bounds, only=only)
    try:
        with daemon() as client:
            status, complaint = run_piped(client, source.vm, ExecRequest(argv), sink=unpacker.feed)
        _check(source, status, complaint)
        unpacker.finish()
    except OSError as error:
        raise HostError(f"{folder}: {error.strerror}") from error
    finally:
        unpacker.close()
        os.close(directory)
    return unpacker.left_out


def _stream_in(dest: Place) -> list[str]:
    if _look(dest) != "directory":
        raise NotFoundError(f"{dest.vm}:{dest.path}: there is no such directory in the VM")
    _pass(dest, ("tar", "-C", dest.path, "-xf", "-"), no_stdin=False)
    return []


def _stream_out(source: Place) -> list[str]:
    if sys.stdout.isatty():
        raise SpecError("a tar is not for a terminal", hint=f"banger vm cp {source.vm}:{source.path} - > FILE")
    if _look(source) not in {"directory", "file"}:
        raise NotFoundError(f"{source.vm}:{source.path}: there is no such file or directory in the VM")
    content = ("-C", source.path, "-cf", "-", ".") if source.path.endswith("/.") else None
    _pass(source, ("tar", *(content or ("-C", source.above, "-cf", "-", "--", source.base))), no_stdin=True)
    return []


def _pass(place: Place, argv: tuple[str, ...], *, no_stdin: bool) -> None:
    with daemon() as client:
        status = run_remote(client, place.vm, ExecRequest(argv), terminal=False, no_stdin=no_stdin)
    _check(place, status, "")


def _look(place: Place) -> str:
    """Ask the guest what is at a place."""
    said = bytearray()

    def take(data: bytes) -> None:
        said.extend(data)
        if len(said) > _SAID_MOST_BYTES:
            raise GuestError("the guest says more than it was asked")

    with daemon() as client:
        status, complaint = run_piped(client, place.vm, ExecRequest(("sh", "-c", _LOOK, "sh", place.path)), sink=take)
    _check(place, status, complaint)
    return said.decode(errors="replace").strip()


def _check(place: Place, status: int, complaint: str) -> None:
    if status == _NOT_FOUND:
        raise GuestError(f"the VM {place.vm!r} has no sh or no tar, which `vm cp` needs there")
    if status:
        raise BangerError(f"{place.vm}:{place.path}: {complaint or f'its tar ended with status {status}'}")


def _name_of(source: Place) -> str:
    """What a copy is called: the guest's name of it, which is the user's own word."""
    name = source.base
    if name in {"", ".", ".."}:
        raise SpecError(f"{source.vm}:{source.path}: what is the copy to be called? Give its name, or end it in /.")
    return name
