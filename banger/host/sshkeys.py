"""SSH key pairs, made here: starting ssh-keygen(1) takes ten times as long."""

import os
from pathlib import Path

from banger.model.errors import HostError


async def make_key_pair(path: Path) -> str:
    """Make an Ed25519 key at `path`, mode 0600 and without a passphrase, replacing what is there.

    Returns the public key as it stands in an authorized_keys file, without a comment. Raises HostError.
    """
    # Importing it takes as long as the rest of the command line.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    try:
        # The public half last: a pair counts once both are there.
        _write(path, private, 0o600)
        _write(path.with_name(f"{path.name}.pub"), public + b"\n", 0o644)
    except OSError as error:
        raise HostError(f"{path}: no SSH key can be written: {error.strerror}") from error
    return public.decode("ascii")


async def ensure_key_pair(path: Path) -> str:
    """Return the public key of the pair at `path`, making the pair if it is not there. Raises HostError."""
    return _read_pair(path) or await make_key_pair(path)


def _read_pair(path: Path) -> str | None:
    public = path.with_name(f"{path.name}.pub")
    if path.is_file() and public.is_file():
        return public.read_text(encoding="ascii").strip()
    return None


def _write(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
