"""`banger cache unpin`."""

import click

from banger.cli.client import artifact_path
from banger.cli.start_daemon import daemon


@click.command("unpin")
@click.argument("digest")
def command(digest: str) -> None:
    """Let go of the pinned artifact that has this DIGEST, or begins so. It stays until a prune takes it."""
    with daemon() as client:
        client.delete(artifact_path(digest, "/pin"))
    print(f"unpinned {digest}")
