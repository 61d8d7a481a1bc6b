"""SSH key pairs, made by OpenSSH's own ssh-keygen(1)."""

from pathlib import Path

from banger.host.process import run
from banger.host.tools import get_tool

_DEADLINE_S = 20.0


async def make_key_pair(path: Path) -> str:
    """Make an Ed25519 key at `path`, mode 0600 and without a passphrase, replacing what is there.

    Returns the public key as it stands in an authorized_keys file, without a comment. Raises HostError.
    """
    public = path.with_name(f"{path.name}.pub")
    for old in (path, public):
        old.unlink(missing_ok=True)
    argv = [str(get_tool("ssh-keygen")), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    (await run(argv, deadline_s=_DEADLINE_S)).check(f"make the SSH key {path.name}")
    return public.read_text(encoding="ascii").strip()


async def ensure_key_pair(path: Path) -> str:
    """Return the public key of the pair at `path`, making the pair if it is not there. Raises HostError."""
    return _read_pair(path) or await make_key_pair(path)


def _read_pair(path: Path) -> str | None:
    public = path.with_name(f"{path.name}.pub")
    if path.is_file() and public.is_file():
        return public.read_text(encoding="ascii").strip()
    return None
