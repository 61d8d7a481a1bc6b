"""The JSON between the process that writes an image and the one that wants it: an order, then lines of answers."""

from pathlib import Path

import msgspec

from banger.layers.options import Compression, Flattened, Layer, Request
from banger.model.errors import BangerError, HostError, NotFoundError, SpecError

_ERRORS: dict[str, type[BangerError]] = {kind.code: kind for kind in (SpecError, NotFoundError, HostError)}


class WireLayer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A layer whose blob is a descriptor that the child inherits."""

    blob: int
    compression: Compression
    diff_id: str
    digest: str | None


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the child is asked: descriptors of what to read and write, and what decides the image."""

    layers: tuple[WireLayer, ...]
    image: int
    seed: int | None
    request: Request


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An error of banger's, by its code."""

    code: str
    message: str
    hint: str | None


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of: how many bytes of blobs are read; what was written; why it was not."""

    done_bytes: int | None = None
    flattened: Flattened | None = None
    error: Failure | None = None


def encode_order(order: Order) -> bytes:
    """The text of an order."""
    return msgspec.json.encode(order, enc_hook=_encoded)


def decode_order(text: bytes) -> tuple[Order, list[Layer]]:
    """The order, and its layers as values. Raises SpecError that says what is wrong with the text."""
    try:
        order = msgspec.json.decode(text, type=Order, dec_hook=_decoded)
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise SpecError(f"flatten request: {error}") from error
    return order, [Layer(Path(), layer.compression, layer.diff_id, layer.digest) for layer in order.layers]


def encode_answer(answer: Answer) -> bytes:
    """A line."""
    return msgspec.json.encode(answer) + b"\n"


def failure(error: BangerError) -> Answer:
    """The answer that says why there is no image."""
    return Answer(error=Failure(error.code, error.message, error.hint))


def decode_answer(line: bytes) -> Answer:
    """The inverse of `encode_answer`. Raises HostError if the text is no answer."""
    try:
        return msgspec.json.decode(line, type=Answer)
    except ValueError as error:
        raise HostError(f"the image writer: its answer is malformed: {error}") from error


def error_of(failed: Failure) -> BangerError:
    """The error that the child met."""
    return _ERRORS.get(failed.code, HostError)(failed.message, hint=failed.hint)


def _encoded(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _decoded(kind: type, value: object) -> Path:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
