"""`banger daemon status`."""

import click

from banger.cli.app import RemoteExitError
from banger.cli.decode import decode
from banger.cli.options import as_json
from banger.cli.output import print_json
from banger.cli.start_daemon import running_daemon
from banger.model.views import DaemonView

NOT_RUNNING = 3
"""As `systemctl status` answers for a unit that is not active (LSB init scripts, "status")."""


@click.command("status")
@as_json
def command(*, json_output: bool) -> None:
    """Say whether the daemon runs. The exit status is 3 if it does not."""
    client = running_daemon()
    if client is None:
        if json_output:
            print_json(None)
        else:
            print("not running; it starts with the next command that needs it")
        raise RemoteExitError(NOT_RUNNING)
    with client:
        view = decode(DaemonView, client.get("/v1/health"))
    if json_output:
        print_json(view)
        return
    print(f"running:    pid {view.pid}, version {view.version}")
    print(f"state:      {view.state_dir}")
    print(f"operations: {view.operations}")
    print(f"sessions:   {view.sessions}")
