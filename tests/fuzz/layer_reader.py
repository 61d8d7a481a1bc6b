"""Throw mutated tars at the layer reader: it may raise SpecError, and nothing else. `make fuzz` runs it.

With atheris installed, coverage guides the mutations; without it they are random and the same for the same seed.
"""

import contextlib
import importlib
import os
import random
import sys
import time
from typing import Any

from banger.layers.finish import finish_image
from banger.layers.merge import Root
from banger.layers.options import Limits
from banger.layers.placer import Placer
from banger.layers.reader import LayerReader
from banger.model.errors import SpecError
from tests.unit.ext4.images import OPTIONS, TIME
from tests.unit.layers import corpus, corpus_extended

LIMITS = Limits(entries=5000)
IMAGE_EVERY = 16
BYTES = (b"\xff", b"\0", b"7", b"\x80", b"/", b".")


class Target:
    """Reads one input after another into one file."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("fuzz")
        self.runs = 0
        self.accepted = 0

    def __call__(self, data: bytes) -> None:
        """Read, merge and now and then finish an image."""
        self.runs += 1
        os.truncate(self._fd, 0)
        placer = Placer(self._fd)
        reader = LayerReader(placer, LIMITS)
        root = Root(0o755, TIME, 5000)
        with contextlib.suppress(SpecError):
            cut = len(data) // 3
            reader.feed(data[:cut])
            reader.feed(data[cut:])
            reader.finish()
            root.apply(reader.found)
            if self.runs % IMAGE_EVERY == 0:
                finish_image(self._fd, root.node, placer, reader.found.placed, OPTIONS)
            self.accepted += 1


def mutated(data: bytes, chosen: random.Random) -> bytes:
    """A few changes, with checksums of headers made right again most of the time."""
    body = bytearray(data)
    for _ in range(chosen.randint(1, 4)):
        at = chosen.randrange(len(body))
        if chosen.random() < 0.3:
            block = at & -512
            body[block : block + 512] = body[chosen.randrange(len(body)) & -512 :][:512].ljust(512, b"\0")
        else:
            body[at : at + chosen.randint(1, 12)] = chosen.choice(BYTES) * chosen.randint(1, 12)
        if chosen.random() < 0.9:
            block = at & -512
            body[block : block + 512] = corpus.summed(bytes(body[block : block + 512]).ljust(512, b"\0"))
    return bytes(body)


def seeds() -> list[bytes]:
    """The hand-made corpus."""
    tables = (
        corpus.names, corpus.links, corpus.xattrs, corpus_extended.pax, corpus_extended.gnu, corpus_extended.sparse,
        corpus_extended.sizes,
    )  # fmt: skip
    return [tar for table in tables for _, tar, _ in table() if 0 < len(tar) < 20_000]


def run(seconds: float, seed: int = 0) -> Target:
    """Fuzz for a time. Whatever is raised but SpecError ends it, and the input is in ./fuzz-crash."""
    target, chosen, inputs = Target(), random.Random(seed), seeds()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(chosen.choice(inputs), chosen)
        try:
            target(data)
        except BaseException:
            with open("fuzz-crash", "wb") as file:  # noqa: PTH123
                file.write(data)
            raise
    return target


def main() -> None:
    """Fuzz until told otherwise, or for the seconds in the first argument."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        target = run(float(sys.argv[1]) if sys.argv[1:] else 60.0)
        sys.stdout.write(f"{target.runs} inputs, {target.accepted} of them accepted, no crash\n")
        return
    atheris.Setup(sys.argv, Target())
    atheris.Fuzz()


if __name__ == "__main__":
    main()
