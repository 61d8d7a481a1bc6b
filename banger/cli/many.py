"""Do the same to several VMs at once: all are begun, then each result is shown, in the order of their names."""

import sys
from collections.abc import Collection
from dataclasses import dataclass

from banger.cli.client import Client, vm_path
from banger.cli.decode import decode, decode_list
from banger.cli.follow import follow
from banger.cli.output import print_json, sanitised
from banger.cli.progress import QuietProgress, progress
from banger.cli.start_daemon import daemon
from banger.model.errors import BangerError, SpecError
from banger.model.views import OperationView
from banger.model.vm import VmView


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the daemon for each VM: method, what follows the VM's own path, and a body."""

    method: str
    rest: str = ""
    body: object = None


def each(names: Collection[str], asked: Asked, *, is_quiet: bool, json_output: bool = False) -> None:
    """Do it, and print the name of each VM that it was done to; with `json_output` their views instead.

    Raises the error of the only one; of several, an error that counts those that failed, after a line for each.
    """
    wanted = list(dict.fromkeys(names))
    failures: list[BangerError] = []
    results: list[object] = []
    with daemon() as client, progress(quiet=is_quiet) as shown:
        # One VM's nodes are worth a look. Those of several would be mixed up: of them only the results are shown.
        how = shown if len(wanted) == 1 else QuietProgress()
        begun = [(name, _begin(client, name, asked)) for name in wanted]
        under_way = [operation for _, operation in begun if isinstance(operation, OperationView)]
        for name, operation in begun:
            try:
                if isinstance(operation, BangerError):
                    raise operation
                results.append(follow(client, operation, how, others=under_way))
            except BangerError as error:
                failures.append(error)
                if len(wanted) > 1:
                    shown.say(f"banger: {sanitised(error.message)}")
                continue
            if not json_output:
                print(name, flush=True)
    if json_output:
        print_json([decode(VmView, result) for result in results if result is not None])
    if failures and len(wanted) == 1:
        raise failures[0]
    if failures:
        raise BangerError(f"{len(failures)} of {len(wanted)} failed", hint=failures[0].hint)


def _begin(client: Client, name: str, asked: Asked) -> OperationView | BangerError:
    try:
        return decode(OperationView, client.request(asked.method, vm_path(name, asked.rest), asked.body))
    except BangerError as error:
        return error


def which(names: tuple[str, ...], *, every: bool, states: Collection[str] | None = None) -> list[str]:
    """The VMs that are meant: those that are named, or all (that are in one of `states`). Raises SpecError."""
    if names and every:
        raise SpecError("--all and names exclude each other")
    if not names and not every:
        raise SpecError("name a VM, or say --all", hint="banger vm list")
    if names:
        return list(names)
    return [vm.name for vm in all_vms() if states is None or vm.state in states]


def all_vms() -> list[VmView]:
    """Every VM, the oldest first."""
    with daemon() as client:
        return decode_list(VmView, client.get("/v1/vms"))


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask whether to do it, unless that was said already, or there is nobody to ask."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
