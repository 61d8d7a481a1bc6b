"""Options that several commands share, and how they become a request."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from banger.cli.completing import complete_kernels, complete_vms
from banger.cli.forwards import parse_forward
from banger.cli.sizes import default_image, default_sizes, resolve
from banger.model.errors import SpecError
from banger.model.kernel import DEFAULT_KERNEL
from banger.model.vm import SetupRequest, VmRequest, WorkspaceRequest, check_vm_name, format_size

Function = TypeVar("Function", bound=Callable[..., None])

as_json = click.option("--json", "json_output", is_flag=True, help="Print JSON.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
one_vm = click.argument("name", metavar="NAME", shell_complete=complete_vms)
many_vms = click.argument("names", metavar="NAME...", nargs=-1, shell_complete=complete_vms)
every = click.option("-a", "--all", "every", is_flag=True, help="All VMs of which it makes sense.")
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def vm_options(function: Function) -> Function:
    """Add everything that says which VM is wanted. The defaults in the help are the ones of this user and host."""
    defaults = default_sizes(for_help=True)
    image = default_image(for_help=True)
    options = [
        click.argument("path", metavar="[PATH]", required=False),
        click.option("--name", metavar="NAME", help="Name and host name of the VM (default: one is picked)."),
        click.option(
            "--image",
            metavar="IMAGE",
            help=f"A name, docker's REGISTRY/NAME:TAG, oci:DIR or docker-archive:FILE (default {image}).",
        ),
        click.option(
            "--pull",
            type=click.Choice(["always", "missing", "never"]),
            metavar="WHEN",
            default="missing",
            help="Ask a registry what the image's name means now: always, missing (default: if it is not here), never.",
        ),
        click.option("--vcpu", type=int, metavar="INT", help=f"Virtual CPUs (default {defaults.vcpus})."),
        click.option("--memory", metavar="SIZE", help=f"Memory, in MiB or as 2G (default {defaults.memory_mib})."),
        click.option(
            "--disk-size", metavar="SIZE", help=f"Work disk, /root (default {format_size(defaults.disk_bytes)})."
        ),
        click.option("--branch", metavar="NAME", help="Check out a new branch in the guest only; needs PATH."),
        click.option("--from", "from_ref", metavar="REF", help="Where the branch begins (default: HEAD)."),
        click.option(
            "--include-untracked", is_flag=True, help="Also copy untracked files that git does not ignore; needs PATH."
        ),
        click.option(
            "--kernel-ref",
            "kernel",
            metavar="REF",
            shell_complete=complete_kernels,
            help=f"Kernel, as `banger kernel list` names it (default {DEFAULT_KERNEL}).",
        ),
        click.option(
            "-p",
            "--publish",
            multiple=True,
            metavar="PORTS",
            help="Forward [ADDRESS:]HOST:GUEST whenever it runs (default address: 127.0.0.1).",
        ),
        click.option("--nat/--no-nat", default=True, help="Let the VM reach beyond this host, or not (default: yes)."),
        click.option("--cold", is_flag=True, help="Boot it, even if it could be restored from a template."),
        click.option("--refresh", is_flag=True, help="Ask anew which packages are current; otherwise once in 30 days."),
        click.option(
            "--rebuild",
            metavar="NODE",
            multiple=True,
            help="Make NODE again, though it is in the cache: one that `plan` shows, such as image.rootfs. Repeatable.",
        ),
        click.option(
            "--setup", metavar="CMD", help="Run CMD once, and begin with its disks while its inputs are equal."
        ),
        click.option(
            "--setup-lock", "setup_locks", metavar="FILE", multiple=True, help="A file in PATH that --setup reads."
        ),
        click.option("--no-setup", is_flag=True, help="Pass over the set-up that PATH's banger.toml asks for."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def request_from(options: dict[str, Any], *, ephemeral: bool = False, wait_ssh: bool = True) -> VmRequest:
    """Check the options of `vm_options` and make them a request. Raises SpecError."""
    workspace = _workspace(options)
    name = options["name"]
    return VmRequest(
        sizes=resolve(options["vcpu"], options["memory"], options["disk_size"]),
        name=None if name is None else check_vm_name(name),
        image=default_image() if options["image"] is None else absolute_source(options["image"]),
        workspace=workspace,
        ephemeral=ephemeral,
        wait_ssh=wait_ssh,
        cold=options["cold"],
        kernel=options["kernel"],
        refresh=options["refresh"],
        rebuild=tuple(options["rebuild"]),
        nat=options["nat"],
        ports=[parse_forward(text) for text in options["publish"]],
        pull=options["pull"],
        setup=_setup(options),
    )


def absolute_source(text: str) -> str:
    """The image that a user means, for the daemon, which is in another directory: paths of files are made absolute."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in {"oci", "docker-archive"} or not rest:
        return text
    path, more, wanted = rest.partition(":")
    return f"{kind}:{Path(path).absolute()}{more}{wanted}"


def _setup(options: dict[str, Any]) -> SetupRequest | None:
    command, locks, none = options["setup"], options["setup_locks"], options["no_setup"]
    if none and command is not None:
        raise SpecError("--setup and --no-setup exclude each other")
    if locks and command is None:
        raise SpecError("--setup-lock needs --setup: it names what that command reads")
    if command is not None and not command.strip():
        raise SpecError("--setup is empty", hint="--no-setup for none")
    if none:
        return SetupRequest("", locks)
    return None if command is None else SetupRequest(command, locks)


def _workspace(options: dict[str, Any]) -> WorkspaceRequest | None:
    path, branch, from_ref = options["path"], options["branch"], options["from_ref"]
    if path is None:
        given = {"--branch": branch, "--from": from_ref, "--include-untracked": options["include_untracked"]}
        for name, value in given.items():
            if value:
                raise SpecError(f"{name} needs a PATH: there is no repository without one")
        return None
    if from_ref is not None and branch is None:
        raise SpecError("--from needs --branch: it says where that branch begins")
    absolute = Path(path).absolute()
    if not absolute.exists():
        raise SpecError(f"{path}: there is no such directory")
    return WorkspaceRequest(str(absolute), options["include_untracked"], branch, from_ref)


def say_spec(request: VmRequest) -> None:
    """Print the `spec:` line."""
    print(f"spec: {request.sizes.describe()}", file=sys.stderr)


class RemoteCommand(click.Command):
    """A command that may end in `-- COMMAND…`; the words after the first `--` are in `remote_words`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the remote command away before click reads the rest: click cannot tell `run PATH` from `run -- PATH`."""
        if "--" in args:
            split = args.index("--")
            ctx.meta["banger.remote"] = args[split + 1 :]
            args = args[:split]
            if not ctx.meta["banger.remote"]:
                raise click.UsageError("'--' must be followed by a command", ctx)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show the remote command in the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def remote_words() -> list[str]:
    """The remote command of the current command line; empty if there is none."""
    words = click.get_current_context().meta.get("banger.remote", [])
    return list(words)
