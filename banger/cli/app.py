"""The tree of commands, each loaded when it is called, and the one place where an error becomes text and a status.

Built on click, not on typer: typer imports pydantic to convert options, which takes longer than `vm list` altogether.
"""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import click

from banger.cli.harmless import make_output_harmless
from banger.cli.main import INTERRUPTED
from banger.model.errors import BangerError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

EX_USAGE = 2
EX_SOFTWARE = 70
BROKEN_PIPE = 128 + signal.SIGPIPE


class RemoteExitError(Exception):
    """The command in the guest ended: its exit status is banger's own. The only error that carries one of its own."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Verb:
    """A command as help lists it. `module`: the file in banger/cli that defines `command`."""

    module: str
    summary: str


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called, not to list it.

    `default`: the command that is meant when none is named.
    """

    def __init__(
        self, name: str, summary: str, table: "Mapping[str, Verb | LazyGroup]", *, default: str | None = None
    ) -> None:
        super().__init__(name, help=summary, no_args_is_help=default is None)
        self._table = table
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the default command where none is named."""
        if self._default is not None and not (args and (args[0] in self._table or args[0] == "--help")):
            args = [self._default, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which people meet them."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        entry = self._table.get(cmd_name)
        if entry is None or isinstance(entry, LazyGroup):
            return entry
        command = import_module(f"banger.cli.{entry.module}").command
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Complete the names of commands without loading them, and this group's own options."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=entry.help if isinstance(entry, LazyGroup) else entry.summary)
            for name, entry in self._table.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def entries(self) -> list[tuple[str, str]]:
        """Names and summaries of the commands, without loading them."""
        return [
            (name, entry.help or "" if isinstance(entry, LazyGroup) else entry.summary)
            for name, entry in self._table.items()
            if isinstance(entry, LazyGroup) or entry.summary  # what has none is not for people
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(self.entries())


def _tree() -> LazyGroup:
    workspace = LazyGroup("workspace", "Bring a checkout into a VM, and back what was done in it.", {
        "prepare": Verb("vm_workspace_prepare", "Bring a VM's checkout up to date: only what changed is sent."),
        "export": Verb("vm_workspace_export", "Show what was done in a VM's checkout; take it as a branch or a patch."),
    })  # fmt: skip
    vm = LazyGroup("vm", "Make, enter and remove VMs.", {
        "run": Verb("vm_run", "Make a VM and enter it, or run a command in it."),
        "create": Verb("vm_create", "Make a VM and leave it running."),
        "list": Verb("vm_list", "List VMs."),
        "show": Verb("vm_show", "Show one VM."),
        "fork": Verb("vm_fork", "Start others as what a running VM is now."),
        "start": Verb("vm_start", "Start stopped VMs."),
        "stop": Verb("vm_stop", "Stop VMs, keeping their disks."),
        "restart": Verb("vm_restart", "Stop VMs and start them."),
        "kill": Verb("vm_kill", "End VMs at once, keeping their disks."),
        "delete": Verb("vm_delete", "Stop VMs and remove all that is theirs."),
        "prune": Verb("vm_prune", "Delete every stopped VM."),
        "ssh": Verb("vm_ssh", "Open a shell in a VM, or run a command in it."),
        "exec": Verb("vm_exec", "Run a command in a VM, without SSH."),
        "cp": Verb("vm_cp", "Copy files into a VM, or out of it."),
        "logs": Verb("vm_logs", "Show a VM's console."),
        "ports": Verb("vm_ports", "List what listens in a VM, and where to reach it."),
        "forward": Verb("vm_forward", "Forward ports of this host to a running VM."),
        "health": Verb("vm_health", "Say whether a VM's guest is well."),
        "stats": Verb("vm_stats", "Show what a VM uses."),
        "set": Verb("vm_set", "Give stopped VMs another shape."),
        "rename": Verb("vm_rename", "Give a VM another name."),
        "workspace": workspace,
    })  # fmt: skip
    plan_vm = LazyGroup("vm", "Plan what a `vm` command would do.", {
        "create": Verb("plan_vm_create", "Say what `vm create` would do, and how long it would take."),
        "run": Verb("plan_vm_run", "Say what `vm run` would do before the shell or the command starts."),
    })  # fmt: skip
    cache = LazyGroup("cache", "Look at cached artifacts and remove them.", {
        "ls": Verb("cache_ls", "List artifacts."),
        "du": Verb("cache_du", "Show what the cache takes, by kind."),
        "show": Verb("cache_show", "Show one artifact."),
        "pin": Verb("cache_pin", "Keep an artifact, whatever else needs it."),
        "unpin": Verb("cache_unpin", "Let go of a pinned artifact."),
        "prune": Verb("cache_prune", "Remove artifacts that nothing needs."),
        "verify": Verb("cache_verify", "Read everything and say what is damaged."),
    })  # fmt: skip
    image = LazyGroup("image", "Have images: pull, look at and remove them.", {
        "pull": Verb("image_pull", "Have an image ready, from a registry or from files."),
        "list": Verb("image_list", "List images."),
        "show": Verb("image_show", "Show one image."),
        "register": Verb("image_register", "Give a name to image files of your own."),
        "promote": Verb("image_promote", "Take a registered image into the cache."),
        "delete": Verb("image_delete", "Forget images that no VM uses."),
    })  # fmt: skip
    template = LazyGroup("template", "Look at frozen VMs, from which others start in a moment.", {
        "ls": Verb("template_ls", "List templates."),
        "build": Verb("template_build", "Make a template now."),
        "rm": Verb("template_rm", "Remove templates."),
    })  # fmt: skip
    kernel = LazyGroup("kernel", "Look at kernels, fetch them, and bring your own.", {
        "list": Verb("kernel_list", "List the kernels that a VM can have."),
        "show": Verb("kernel_show", "Show one kernel."),
        "pull": Verb("kernel_pull", "Fetch a kernel of the catalog and keep it."),
        "import": Verb("kernel_import", "Take in a kernel of your own."),
        "export": Verb("kernel_export", "Write a kernel into a directory, to be published."),
        "rm": Verb("kernel_rm", "Remove kernels that no VM uses."),
    })  # fmt: skip
    pool = LazyGroup("pool", "Keep restored VMs ready for whoever asks for one.", {
        "ls": Verb("pool_ls", "List pools."),
        "keep": Verb("pool_keep", "Keep so many VMs of a shape ready."),
    })  # fmt: skip
    daemon = LazyGroup("daemon", "Look at the daemon or stop it; it starts by itself.", {
        "status": Verb("daemon_status", "Say whether the daemon runs, and what it does."),
        "stop": Verb("daemon_stop", "Stop the daemon. VMs stay."),
        "logs": Verb("daemon_logs", "Show what the daemon wrote about itself."),
        "salvage": Verb("daemon_salvage", "Rebuild a damaged database from what can be read of it."),
    })  # fmt: skip
    bench = LazyGroup("bench", "Show how long the stages of past creates took, or measure.", {
        "stages": Verb("bench", "Show how long the stages of past creates took."),
        "create": Verb("bench_create", "Make and delete VMs, and show how long that took."),
        "graph": Verb("bench_graph", "Measure the engine on a graph of nodes that do nothing."),
    }, default="stages")  # fmt: skip
    runs = LazyGroup("runs", "Look at past runs: what ran, and how long it took.", {
        "ls": Verb("runs_ls", "List runs."),
        "show": Verb("runs_show", "Show one run, node by node."),
    })  # fmt: skip
    config = LazyGroup("config", "Look at your configuration; nothing here writes to it.", {
        "show": Verb("config_show", "Show what is configured, and where each value comes from."),
        "check": Verb("config_check", "Say whether the configuration is right."),
    })  # fmt: skip
    root = LazyGroup("banger", "A throw-away microVM with your git checkout inside, in one command.", {
        "vm": vm,
        "plan": LazyGroup("plan", "Say what a command would do, without doing it.", {"vm": plan_vm}),
        "why": Verb("why", "Say why a node ran: what changed, from what to what."),
        "runs": runs,
        "trace": Verb("trace", "Say where the time of a run went."),
        "bench": bench,
        "image": image,
        "cache": cache,
        "template": template,
        "kernel": kernel,
        "ssh-config": Verb("ssh_config", "Have `ssh NAME.vm` work for every VM, or no longer."),
        "ssh-proxy": Verb("ssh_proxy", ""),
        "config": config,
        "pool": pool,
        "doctor": Verb("doctor", "Check whether this machine can run VMs, and how well."),
        "daemon": daemon,
        "completion": Verb("completion", "Print what a shell needs to complete banger's command line."),
        "worker": Verb("worker", "As root: give a user's VMs addresses of their own, until stopped."),
    })  # fmt: skip
    root.params.append(click.Option(["--version"], is_flag=True, help="Print the version and exit."))
    return root


def run(arguments: list[str]) -> int:
    """Run one command line; return its exit status."""
    make_output_harmless()
    try:
        _tree().main(arguments, prog_name="banger", standalone_mode=False)
    except RemoteExitError as ending:
        return ending.status
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted", None)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`banger vm list | head`). Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the last boundary: whatever was raised becomes a line and a status
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, BangerError):
        _say(error.message, error.hint)
        return error.exit_status
    _say(f"a bug in banger: {type(error).__name__}: {error}{_place(error)}", None)
    return EX_SOFTWARE


def _usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
        return EX_USAGE
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "banger"
    _say(error.format_message().replace("\n", " "), f"{path} --help")
    return EX_USAGE


def _say(message: str, hint: str | None) -> None:
    print(f"banger: {message}", file=sys.stderr)
    if hint:
        print(f"  try: {hint}", file=sys.stderr)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""
