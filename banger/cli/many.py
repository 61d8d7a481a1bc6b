"""Do the same to several VMs at once: all are begun, then each result is shown, in the order of their names."""

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from banger.cli.client import Client, vm_path
from banger.cli.decode import decode, decode_list
from banger.cli.follow import follow
from banger.cli.output import print_json, sanitised
from banger.cli.progress import Progress, QuietProgress, progress
from banger.cli.start_daemon import daemon
from banger.model.errors import BangerError, SpecError
from banger.model.views import OperationView
from banger.model.vm import VmView

AT_ONCE = 32
"""VMs that it is begun for before the first is waited for: the daemon remembers finished operations, but not all."""


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
        for at in range(0, len(wanted), AT_ONCE):
            for name, result in _batch(client, wanted[at : at + AT_ONCE], asked, shown if len(wanted) == 1 else None):
                if isinstance(result, BangerError):
                    failures.append(result)
                    if len(wanted) > 1:
                        print(f"banger: {sanitised(result.message)}", file=sys.stderr)
                    continue
                results.append(result)
                if not json_output:
                    print(name, flush=True)
    if json_output:
        print_json([decode(VmView, result) for result in results if result is not None])
    if failures and len(wanted) == 1:
        raise failures[0]
    if failures:
        raise BangerError(f"{len(failures)} of {len(wanted)} failed", hint=failures[0].hint)


def _batch(
    client: Client, names: list[str], asked: Asked, shown: Progress | None
) -> Iterator[tuple[str, object | BangerError]]:
    """Begin them all, then say of each what came of it. (`shown`: of several VMs the nodes would be mixed up.)"""
    begun = [(name, _begin(client, name, asked)) for name in names]
    under_way = [operation for _, operation in begun if isinstance(operation, OperationView)]
    for name, operation in begun:
        if isinstance(operation, BangerError):
            yield name, operation
            continue
        try:
            result = follow(client, operation, shown or QuietProgress(), others=under_way)
        except BangerError as error:
            yield name, error
        else:
            yield name, result


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
