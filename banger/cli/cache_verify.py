"""`banger cache verify`."""

import click

from banger.cli.app import RemoteExitError
from banger.cli.decode import decode
from banger.cli.follow import follow
from banger.cli.options import as_json, quiet
from banger.cli.output import print_json, sanitised, seconds, size
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.cache import VerifyView


@click.command("verify")
@click.option("--repair", is_flag=True, help="Put damaged things aside and drop what stands on them.")
@quiet
@as_json
def command(*, repair: bool, quiet: bool, json_output: bool) -> None:
    """Read everything in the cache and say what is damaged, foreign or missing.

    The exit status is 0 if all is well, 1 if everything that was not has been repaired, 2 if something has not.
    """
    with daemon() as client, progress(quiet=quiet) as shown:
        seen = decode(VerifyView, follow(client, client.post("/v1/cache/verify", {"repair": repair}), shown))
    if json_output:
        print_json(seen)
    else:
        _print(seen, repair=repair)
    if seen.exit_status:
        raise RemoteExitError(seen.exit_status)


def _print(seen: VerifyView, *, repair: bool) -> None:
    for problem in seen.problems:
        done = "  (repaired)" if problem.repaired else ""
        print(sanitised(f"{problem.kind}: {problem.subject}: {problem.detail}{done}"))
    read = f"{seen.objects} objects, {size(seen.bytes_read)}, {seen.records} records in {seconds(seen.seconds)}"
    left = sum(not problem.repaired for problem in seen.problems)
    print(f"{read}; {len(seen.problems)} problems, {left} left" if seen.problems else f"{read}; all is well")
    if left and not repair:
        print("try: banger cache verify --repair")
