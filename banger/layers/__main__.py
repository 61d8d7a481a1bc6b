"""Write one image as ordered on standard input; answer in lines on standard output. See `banger.layers.wire`."""

import gc
import os
import sys

from banger.layers.flatten import flatten_into
from banger.layers.wire import Answer, decode_order, encode_answer, failure
from banger.model.errors import BangerError

_PROGRESS_STEP_BYTES = 4 << 20


def main() -> None:
    """Serve one order; what the layers or the host refuse is an answer, only a bug is an exit status."""
    gc.disable()  # everything lives until the end, and nothing is in a circle that would matter
    try:
        order, layers = decode_order(sys.stdin.buffer.read())
        blobs = [layer.blob for layer in order.layers]
        flattened = flatten_into(layers, blobs, order.image, order.seed, order.request, _Progress().tell)
        for descriptor in (order.image, order.seed):
            if descriptor is not None:
                os.fsync(descriptor)
        answer = Answer(flattened=flattened)
    except BangerError as error:
        answer = failure(error)
    sys.stdout.buffer.write(encode_answer(answer))


class _Progress:
    """Says every few MiB how far it is."""

    def __init__(self) -> None:
        self._told = 0

    def tell(self, done: int, all_bytes: int) -> None:
        if done - self._told >= _PROGRESS_STEP_BYTES or done == all_bytes:
            self._told = done
            sys.stdout.buffer.write(encode_answer(Answer(done_bytes=done)))
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
