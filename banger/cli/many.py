"""Do the same to several VMs at once, and report all that fails."""

import sys

from banger.cli.client import Client, vm_path
from banger.cli.follow import follow
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.errors import BangerError


def each(names: tuple[str, ...], method: str, rest: str, *, is_quiet: bool) -> list[object]:
    """Begin an operation for each VM, then follow them all. `rest` follows the VM's own path.

    Raises the error of the one that failed; if several did, an error that counts them, after a line for each.
    """
    failures: list[BangerError] = []
    results: list[object] = []
    with daemon() as client, progress(quiet=is_quiet) as shown:
        for answer in _begin(client, dict.fromkeys(names), method, rest, failures):
            try:
                results.append(follow(client, answer, shown))
            except BangerError as error:
                failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        for failure in failures:
            print(f"banger: {failure.message}", file=sys.stderr)
        raise BangerError(f"{len(failures)} of {len(set(names))} failed")
    return results


def _begin(client: Client, names: dict[str, None], method: str, rest: str, failures: list[BangerError]) -> list[object]:
    answers = []
    for name in names:
        try:
            answers.append(client.request(method, vm_path(name, rest)))
        except BangerError as error:
            failures.append(error)
    return answers
