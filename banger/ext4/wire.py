"""The JSON that goes to and from the child process which writes an image; bytes travel as hexadecimal digits."""

from pathlib import Path
from typing import Literal

import msgspec

from banger.ext4.options import ExtraEntry, ImageOptions, ImageStats
from banger.model.errors import BangerError, HostError, NotFoundError, SpecError

_ERRORS: dict[str, type[BangerError]] = {kind.code: kind for kind in (SpecError, NotFoundError, HostError)}


class Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An ExtraEntry."""

    path: str
    mode: int
    uid: int
    gid: int
    kind: Literal["file", "symlink", "dir"]
    content: str


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to write, and ImageOptions."""

    source: str
    dest: str
    uuid: str
    hash_seed: str
    label: str
    time: int
    size_bytes: int | None
    slack_bytes: int
    reserved_percent: int
    extra: tuple[Extra, ...]
    remove: tuple[str, ...]
    subtree: str
    root_mode: int


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An error of banger's, by its code."""

    code: str
    message: str
    hint: str | None


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either what was written or why it was not."""

    stats: ImageStats | None = None
    error: Failure | None = None


def encode_request(source: Path, dest: Path, options: ImageOptions) -> bytes:
    """The request for an image."""
    fields = {name: getattr(options, name) for name in ImageOptions.__slots__}
    fields["uuid"], fields["hash_seed"] = options.uuid.hex(), options.hash_seed.hex()
    fields["extra"] = tuple(
        Extra(entry.path, entry.mode, entry.uid, entry.gid, entry.kind, entry.content.hex()) for entry in options.extra
    )
    return msgspec.json.encode(Request(source=str(source), dest=str(dest), **fields))


def decode_request(text: bytes) -> tuple[Path, Path, ImageOptions]:
    """The inverse of `encode_request`. Raises SpecError that says what is wrong with the text."""
    try:
        request = msgspec.json.decode(text, type=Request)
        fields = {name: getattr(request, name) for name in ImageOptions.__slots__}
        fields["uuid"], fields["hash_seed"] = bytes.fromhex(request.uuid), bytes.fromhex(request.hash_seed)
        fields["extra"] = tuple(
            ExtraEntry(entry.path, entry.mode, entry.uid, entry.gid, entry.kind, bytes.fromhex(entry.content))
            for entry in request.extra
        )
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise SpecError(f"ext4 request: {error}") from error
    return Path(request.source), Path(request.dest), ImageOptions(**fields)


def encode_reply(outcome: ImageStats | BangerError) -> bytes:
    """The reply for either outcome."""
    if isinstance(outcome, BangerError):
        return msgspec.json.encode(Reply(error=Failure(outcome.code, outcome.message, outcome.hint)))
    return msgspec.json.encode(Reply(stats=outcome))


def decode_reply(text: bytes) -> ImageStats:
    """What was written. Raises the error that the child met, or HostError if the text is no reply."""
    try:
        reply = msgspec.json.decode(text, type=Reply)
    except ValueError as error:
        raise HostError(f"ext4 writer: its reply is malformed: {error}") from error
    if reply.error is not None:
        raise _ERRORS.get(reply.error.code, HostError)(reply.error.message, hint=reply.error.hint)
    if reply.stats is None:
        raise HostError("ext4 writer: its reply is empty")
    return reply.stats
