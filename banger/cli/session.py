"""The hold on a throw-away VM: a request kept open, whose breaking has the daemon delete the VM."""

import signal
import sys
from contextlib import suppress

from banger.cli.client import Client, vm_path
from banger.cli.follow import follow
from banger.cli.progress import QuietProgress
from banger.cli.start_daemon import daemon
from banger.model.errors import BangerError, DaemonError, NotFoundError
from banger.model.vm import VmView

DELETE_DEADLINE_S = 10.0


class Session:
    """Open from construction to `close`, or until this process is gone."""

    def __init__(self, client: Client, vm: VmView) -> None:
        self._lines = client.stream(vm_path(vm.id, "/session"))
        first = next(self._lines, None)
        if first is None or not isinstance(first.get("id"), str):
            raise DaemonError(f"VM {vm.name!r}: the daemon gave no session", hint=f"banger vm delete {vm.name}")
        self._id = first["id"]

    def keep(self) -> None:
        """End the session and keep the VM."""
        with suppress(NotFoundError), daemon() as client:
            client.delete(f"/v1/sessions/{self._id}")

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()


def delete_now(vm: VmView) -> None:
    """Delete a VM whatever has happened: with a deadline of its own, and deaf to Ctrl-C until then.

    The daemon finishes what it began, so a deadline that passes is worth a line, not an error.
    """
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        with daemon() as client:
            answer = client.request("DELETE", vm_path(vm.id), timeout_s=DELETE_DEADLINE_S)
            _wait(client, answer)
    except NotFoundError:
        return
    except BangerError as error:
        print(f"banger: VM {vm.name!r} is not deleted yet: {error.message}", file=sys.stderr)
        print(f"  try: banger vm delete {vm.name}", file=sys.stderr)
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(client: Client, answer: object) -> None:
    follow(client, answer, QuietProgress(), timeout_s=DELETE_DEADLINE_S)
