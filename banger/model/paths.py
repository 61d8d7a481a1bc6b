"""Where banger keeps what is its own: one state directory, and the names inside it. Computes paths, touches nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from banger.model.errors import SpecError

SOCKET_NAME = "bangerd.sock"
LOCK_NAME = "bangerd.lock"


@dataclass(frozen=True, slots=True)
class StatePaths:
    """The state directory and the daemon's places in it."""

    root: Path

    @property
    def run_dir(self) -> Path:
        """Socket and lock; mode 0700, owned by the daemon's user."""
        return self.root / "run"

    @property
    def socket(self) -> Path:
        """The daemon's socket, for messages: reach it through the directory's descriptor (path limit of AF_UNIX)."""
        return self.run_dir / SOCKET_NAME

    @property
    def client_key(self) -> Path:
        """The SSH key that banger logs in with."""
        return self.root / "ssh" / "id_ed25519"

    @property
    def daemon_log(self) -> Path:
        """What the daemon writes about itself; rotated, bounded."""
        return self.root / "logs" / "bangerd.log"


def state_paths(environ: Mapping[str, str]) -> StatePaths:
    """Find the state directory: `BANGER_STATE_DIR`, else `XDG_STATE_HOME`/banger, else ~/.local/state/banger.

    Raises SpecError if the answer is not an absolute path: a relative one would move with the working directory.
    (The XDG base directory specification says to ignore a relative `XDG_STATE_HOME`.)
    """
    explicit = environ.get("BANGER_STATE_DIR")
    if explicit:
        if not explicit.startswith("/"):
            raise SpecError(f"BANGER_STATE_DIR is {explicit!r}: it must be an absolute path")
        return StatePaths(Path(explicit))
    xdg = environ.get("XDG_STATE_HOME", "")
    if xdg.startswith("/"):
        return StatePaths(Path(xdg) / "banger")
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise SpecError("HOME is not set, so there is no place for banger's state", hint="export BANGER_STATE_DIR=/…")
    return StatePaths(Path(home) / ".local" / "state" / "banger")
