"""Tools that a checkout asks for, installed in the VM while its user already works in it: a try, never a failure."""

from contextlib import suppress
from pathlib import Path

import banger.workspace
from banger.cli.client import Client
from banger.cli.remote import run_remote
from banger.cli.ssh import GUEST_REPOSITORY
from banger.model.errors import BangerError
from banger.model.exec import ExecRequest
from banger.model.vm import VmView

GUEST_LOG = "/root/.cache/banger/mise.log"
_SCRIPT = Path(banger.workspace.__file__).with_name("mise.sh")


def begin_tooling(client: Client, vm: VmView) -> None:
    """Have the VM begin with it, if its checkout asks for any."""
    words = ("sh", "-c", _SCRIPT.read_text(encoding="ascii"), "sh", GUEST_REPOSITORY, GUEST_LOG)
    with suppress(BangerError, OSError):
        run_remote(client, vm.id, ExecRequest(words), terminal=False, no_stdin=True)
