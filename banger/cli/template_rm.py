"""`banger template rm`."""

from urllib.parse import quote

import click

from banger.cli.decode import decode
from banger.cli.output import short_digest, size
from banger.cli.start_daemon import daemon
from banger.model.views import TemplateView


@click.command("rm")
@click.argument("digests", metavar="DIGEST...", nargs=-1, required=True)
def command(digests: tuple[str, ...]) -> None:
    """Remove templates by DIGEST, or by the first digits of it. VMs that were started from one go on."""
    with daemon() as client:
        for digest in digests:
            removed = decode(TemplateView, client.delete(f"/v1/templates/{quote(digest, safe=':')}"))
            print(f"removed {short_digest(removed.digest)}, freed {size(removed.size_bytes)}")
