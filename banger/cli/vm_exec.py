"""`banger vm exec`: run a command in a running VM, through the agent in it; no SSH is needed."""

import os

import click

from banger.cli.app import RemoteExitError
from banger.cli.options import RemoteCommand, one_vm, remote_words
from banger.cli.remote import run_remote
from banger.cli.start_daemon import daemon
from banger.model.errors import SpecError
from banger.model.exec import ExecRequest


@click.command("exec", cls=RemoteCommand)
@one_vm
@click.option(
    "-t/-T",
    "--tty/--no-tty",
    "terminal",
    default=None,
    help="Give the command a terminal, or none (default: if both input and output are terminals).",
)
@click.option(
    "-i", "--interactive", is_flag=True, help="Pass input on. It always is; for those who are used to say it."
)
@click.option("-n", "--no-stdin", is_flag=True, help="Give the command no input, and read none.")
@click.option("-w", "--workdir", metavar="DIR", help="Directory to run in (default: /root).")
@click.option("-e", "--env", "assignments", multiple=True, metavar="NAME[=VALUE]", help="Set a variable, or pass ours.")
def command(
    *,
    name: str,
    terminal: bool | None,
    interactive: bool,
    no_stdin: bool,
    workdir: str | None,
    assignments: tuple[str, ...],
) -> None:
    """Run COMMAND in a VM. Its words arrive as they are; its exit status becomes banger's own."""
    words = remote_words()
    if not words:
        raise click.UsageError("there is no '-- COMMAND'", click.get_current_context())
    if interactive and no_stdin:
        raise click.UsageError("--interactive and --no-stdin exclude each other", click.get_current_context())
    if terminal is None:
        terminal = not no_stdin and os.isatty(0) and os.isatty(1)
    request = ExecRequest(tuple(words), _environment(assignments), workdir)
    with daemon() as client:
        status = run_remote(client, name, request, terminal=terminal, no_stdin=no_stdin)
    if status:
        raise RemoteExitError(status)


def _environment(assignments: tuple[str, ...]) -> dict[str, str]:
    env = {}
    for assignment in assignments:
        name, given, value = assignment.partition("=")
        if not name:
            raise SpecError(f"--env {assignment!r}: a variable needs a name")
        if given:
            env[name] = value
        elif name in os.environ:
            env[name] = os.environ[name]
    return env
