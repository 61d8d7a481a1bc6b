"""Write one image as asked on standard input; answer on standard output. See `banger.ext4.wire` for both."""

import sys

from banger.ext4.options import ImageStats
from banger.ext4.wire import decode_request, encode_reply
from banger.ext4.writer import write_image
from banger.model.errors import BangerError


def main() -> None:
    """Serve one request; what the tar or the host refuses is a reply, only a bug is an exit status."""
    outcome: ImageStats | BangerError
    try:
        source, dest, options = decode_request(sys.stdin.buffer.read())
        outcome = write_image(source, dest, options)
    except BangerError as error:
        outcome = error
    sys.stdout.buffer.write(encode_reply(outcome))


if __name__ == "__main__":
    main()
