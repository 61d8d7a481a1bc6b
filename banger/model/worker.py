"""Where the root worker of a user is met, and which addresses its VMs have unless it is told others."""

from collections.abc import Mapping
from pathlib import Path

DEFAULT_NETWORK = "172.29.0.0/24"
SOCKET_VARIABLE = "BANGER_WORKER_SOCKET"


def worker_socket(uid: int) -> Path:
    """Where the worker of a user listens."""
    return Path(f"/run/banger/worker-{uid}.sock")


def find_worker_socket(environ: Mapping[str, str], uid: int) -> Path:
    """Where a user's commands look for it: `BANGER_WORKER_SOCKET`, else where it listens by itself."""
    explicit = environ.get(SOCKET_VARIABLE)
    return Path(explicit) if explicit else worker_socket(uid)
