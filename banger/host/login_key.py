"""The SSH key with which one logs in to VMs: banger's own, unless the user has configured another."""

import os
from functools import lru_cache
from pathlib import Path

from banger.host.config_file import user_config
from banger.model.errors import SpecError

_LIMIT_BYTES = 64 * 1024


def login_key(own: Path) -> Path:
    """The path of the private key; `own` is banger's. Raises SpecError if the configuration is wrong."""
    configured = user_config().ssh_key_path
    return own if configured is None else Path(configured)


def login_public_key(own: Path, own_public: str) -> str:
    """The public half, as it stands in an authorized_keys file; `own` and `own_public` are of banger's own pair.

    Raises SpecError if a configured key is not there or cannot be used.
    """
    key = login_key(own)
    return own_public if key == own else public_half(key)


def public_half(key: Path) -> str:
    """The public half of a configured key: of the file beside it, or worked out. Raises SpecError."""
    try:
        status = key.stat()
    except OSError as error:
        raise SpecError(f"ssh_key_path: {key}: {error.strerror}", hint="banger config show") from error
    return _public_half(key, (status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=8)
def _public_half(key: Path, _stamp: tuple[int, ...]) -> str:
    # Importing it takes as long as the rest of the command line.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    try:
        descriptor = os.open(key, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            private = load_ssh_private_key(file.read(_LIMIT_BYTES), password=None)
    except OSError as error:
        raise SpecError(f"ssh_key_path: {key}: {error.strerror}", hint=f"ls -l {key}") from error
    except TypeError as error:
        message = f"ssh_key_path: {key} has a passphrase, and banger has nobody to ask for it"
        raise SpecError(message, hint="ssh-keygen -t ed25519 -N '' -f ~/.ssh/id_banger") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SpecError(
            f"ssh_key_path: {key} is not a private SSH key that banger can read", hint=f"file {key}"
        ) from error
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
