"""`banger completion`: the script that a shell needs to complete banger's command line."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_BANGER_COMPLETE"
"""Set by those scripts when they ask for words; click reads it (`Command.main`)."""
INSTALL = {
    "bash": "echo 'source <(banger completion bash)' >> ~/.bashrc",
    "zsh": 'banger completion zsh > "${fpath[1]}/_banger"',
    "fish": "banger completion fish > ~/.config/fish/completions/banger.fish",
    "powershell": "banger completion powershell >> $PROFILE",
}


@click.command("completion", epilog="\b\nTo have it always:\n" + "\n".join(f"  {line}" for line in INSTALL.values()))
@click.argument("shell", metavar="SHELL", type=click.Choice(list(INSTALL)))
def command(shell: str) -> None:
    """Print the script for SHELL: bash, zsh, fish or powershell.

    Names of VMs, kernels and runs are those that the daemon has at the time; it is never started for that.
    """
    kind = get_completion_class(shell)
    assert kind is not None, "the choice has only those that click knows"
    context = click.get_current_context().find_root()
    print(kind(context.command, {}, "banger", VARIABLE).source().rstrip("\n"))
