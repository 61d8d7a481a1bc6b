"""Entry of bangerd: take the lock of a state directory, then serve it. One daemon a state directory, ever."""

import fcntl
import logging
import os
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from banger.daemon.address import HINT_PREFIX, PRIVATE_MODE, make_run_dir
from banger.model.errors import BangerError
from banger.model.paths import LOCK_NAME, StatePaths, state_paths

if TYPE_CHECKING:
    from banger.daemon.core import Settings
    from banger.daemon.service import OpenService

EX_TEMPFAIL = 75
"""Exit status of a daemon that found another one in its place (sysexits.h)."""
LOG_LIMIT_BYTES = 1024 * 1024
LOGS_KEPT = 3

log = logging.getLogger(__name__)


def main() -> int:
    """Run the daemon with the real engine."""
    return run(_engine)


def run(load: "Callable[[], OpenService]") -> int:
    """Run a daemon. `load` imports the service: late, so that the loser of a race for the lock costs little."""
    os.umask(0o077)
    os.chdir("/")
    try:
        paths = state_paths(os.environ)
        run_dir = make_run_dir(paths)
        if not _lock(run_dir):
            return EX_TEMPFAIL
        _send_output_to_log(paths)
    except (BangerError, OSError) as error:
        sys.stderr.write(f"bangerd: {error}\n")
        return 1
    try:
        _serve(paths, run_dir, load)
    except BangerError as error:
        log.exception("daemon.refused")
        sys.stderr.write(f"{error.message}\n")
        if error.hint:
            sys.stderr.write(f"{HINT_PREFIX}{error.hint}\n")
        return error.exit_status
    except BaseException:
        log.exception("daemon.failed")
        raise
    return 0


def _serve(paths: StatePaths, run_dir: int, load: "Callable[[], OpenService]") -> None:
    import anyio

    from banger.daemon.server import serve

    anyio.run(serve, paths, run_dir, load(), _settings())


def _settings() -> "Settings":
    """What is configured. What is wrong with that is told by the commands that it matters to, not by all of them."""
    from banger.daemon.core import Settings
    from banger.host.config_file import user_config

    try:
        idle_s = user_config().daemon_idle_s
    except BangerError as error:
        log.warning("config.refused reason=%r", error.message)
        idle_s = None
    return Settings() if idle_s is None else Settings(idle_s)


def _lock(run_dir: int) -> bool:
    """Hold the lock until this process ends; False if another daemon holds it. Closing the file would release it."""
    descriptor = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=run_dir)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return True


class _Formatter(logging.Formatter):
    """A message is one line, and nothing in the log is obeyed by the terminal on which it is read: it may hold what a
    guest said.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = record.message.replace("\n", "\\n")
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return "".join(
            one if one.isprintable() or one in "\n\t" else f"\\x{ord(one):02x}" for one in super().format(record)
        )


def _send_output_to_log(paths: StatePaths) -> None:
    """Log to a file of bounded size. Only a crash writes to stderr: it stays with whoever started the daemon."""
    paths.daemon_log.parent.mkdir(mode=PRIVATE_MODE, exist_ok=True)
    handler = RotatingFileHandler(paths.daemon_log, maxBytes=LOG_LIMIT_BYTES, backupCount=LOGS_KEPT)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _engine() -> "OpenService":
    from banger.engine.service import open_service

    return open_service


if __name__ == "__main__":
    sys.exit(main())
