"""Write an image in a process of its own: a tar from elsewhere is not parsed where the daemon's state lives.

The child holds the tar's memory too, so it goes back to the host at the end, and it can be killed at a deadline.
"""

import sys
from pathlib import Path

import anyio

from banger.ext4.options import ImageOptions, ImageStats
from banger.ext4.output import partial_of
from banger.ext4.wire import decode_reply, encode_request
from banger.host.process import run

_REPLY_LIMIT_BYTES = 1 << 20


async def write_image_in_child(source: Path, dest: Path, options: ImageOptions, *, deadline_s: float) -> ImageStats:
    """Like `write_image`, in a child process. Raises what that raises, and DeadlineError after `deadline_s` seconds.

    A child that ends by a signal (out of memory, or a tar that became shorter while it was read) is a HostError.
    """
    request = encode_request(source, dest, options)
    argv = [sys.executable, "-I", "-m", "banger.ext4"]
    try:
        finished = await run(argv, deadline_s=deadline_s, stdin=request, output_limit_bytes=_REPLY_LIMIT_BYTES)
    finally:
        with anyio.CancelScope(shield=True):  # a child that was killed could not tidy up
            await anyio.Path(partial_of(dest)).unlink(missing_ok=True)
    return decode_reply(finished.check(f"{dest}: the ext4 writer failed").stdout)
