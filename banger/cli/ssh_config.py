"""`banger ssh-config`: have `ssh NAME.vm` work for every VM, if the user wants that."""

import os

import click

from banger.cli.options import as_json
from banger.cli.output import print_json
from banger.cli.ssh_include import config_file, include_line, install, is_installed, uninstall, user_file
from banger.host.login_key import login_key
from banger.model.errors import SpecError
from banger.model.paths import state_paths


@click.command("ssh-config")
@click.option("--install", "wants_install", is_flag=True, help="Write it, and have ~/.ssh/config include it.")
@click.option("--uninstall", "wants_uninstall", is_flag=True, help="Take both away again.")
@as_json
def command(*, wants_install: bool, wants_uninstall: bool, json_output: bool) -> None:
    """Show how to have `ssh NAME.vm` work for every VM. Without an option nothing is written."""
    if wants_install and wants_uninstall:
        raise SpecError("--install and --uninstall exclude each other")
    config, user = config_file(os.environ), user_file(os.environ)
    if wants_install:
        install(user, config, login_key(state_paths(os.environ).client_key))
    elif wants_uninstall:
        uninstall(user, config)
    installed = is_installed(user, config)
    line = include_line(config)
    if json_output:
        print_json({"path": str(config), "include": line, "user_file": str(user), "installed": installed})
        return
    print(f"file:      {config}")
    print(f"line:      {line}")
    print(f"installed: {'yes' if installed else 'no'}, in {user}")
    print("to remove: banger ssh-config --uninstall" if installed else "to install: banger ssh-config --install")
