"""Layers to one image, in one pass over each: unpacked, hashed, read, placed; then merged, then described.

One thread reads and unpacks the blobs while another takes the tars apart and writes. What is written where follows from
the bytes of the layers alone: the threads meet only in a queue.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence

from banger.ext4.names import normalise
from banger.ext4.options import ImageStats
from banger.ext4.selection import node_of, remove
from banger.ext4.tree import Node
from banger.layers.facts import facts_of
from banger.layers.finish import finish_image
from banger.layers.merge import Root
from banger.layers.options import Flattened, Layer, Request
from banger.layers.pipeline import Unpacked, unpacked
from banger.layers.placer import Placer
from banger.layers.reader import LayerReader
from banger.layers.seed import extract_seed
from banger.model.errors import BangerError, HostError, SpecError

Progress = Callable[[int, int], None]
"""Called with the bytes of blobs read so far, and all of them."""


def flatten_into(
    layers: Sequence[Layer],
    blobs: Sequence[int],
    image: int,
    seed: int | None,
    request: Request,
    progress: Progress = lambda _done, _all: None,
) -> Flattened:
    """Write the layers, the lowest first, as an ext4 image into an empty file; equal layers and requests, equal bytes.

    `blobs` are descriptors of the layers' blobs, `image` and `seed` of files to write. Raises SpecError that names the
    layer and the entry for what is wrong with them, NotFoundError for a seed that is no directory, HostError.
    """
    request.options.check()
    if len(layers) > request.limits.layers:
        raise SpecError(f"the image has more than {request.limits.layers} layers")
    try:
        return _flatten(layers, blobs, image, seed, request, progress)
    except OSError as error:
        raise HostError(f"the image cannot be written: {error.strerror}") from error


def _flatten(
    layers: Sequence[Layer],
    blobs: Sequence[int],
    image: int,
    seed: int | None,
    request: Request,
    progress: Progress,
) -> Flattened:
    options = request.options
    placer = Placer(image)
    root = Root(options.root_mode, options.time, request.limits.entries)
    placed: list[Node] = []
    entries = 0
    with contextlib.closing(unpacked(layers, blobs, request.limits, progress)) as stream:
        for layer in layers:
            with _named(layer):
                reader = LayerReader(placer, request.limits, entries)
                _read(layer, reader, stream)
                root.apply(reader.found)
                entries += len(reader.found.entries)
                placed += reader.found.placed
    placer.flush()
    facts = facts_of(root, image)
    remove(root.node, options.remove)
    put_entries(root, request)
    seed_stats: ImageStats | None = None
    if request.seed is not None and seed is not None:
        seed_stats = extract_seed(root, image, seed, request.seed)
    return Flattened(finish_image(image, root.node, placer, placed, options), seed_stats, facts)


def _read(layer: Layer, reader: LayerReader, stream: Iterator[Unpacked]) -> None:
    """Feed one layer to its reader, and check its digest."""
    hashed = hashlib.sha256()
    for piece in stream:
        if piece is None:
            break
        hashed.update(piece)
        reader.feed(piece)
    reader.finish()
    if hashed.hexdigest() != layer.diff_id:
        raise SpecError(f"its tar has the sha256 {hashed.hexdigest()}, and the image says {layer.diff_id}")


def put_entries(root: Root, request: Request) -> None:
    """Put what the caller adds: always, or where there is nothing."""
    options = request.options
    for entry in options.extra:
        root.put(normalise(entry.path.encode()), node_of(entry, options.time))
    for entry in request.ensured:
        path = normalise(entry.path.encode())
        is_there = root.find_directory(path) is not None if entry.kind == "dir" else root.has(path)
        if not is_there:
            root.put(path, node_of(entry, options.time))


@contextlib.contextmanager
def _named(layer: Layer) -> Iterator[None]:
    try:
        yield
    except BangerError as error:
        raise type(error)(f"{layer.label}: {error.message}", hint=error.hint) from error
