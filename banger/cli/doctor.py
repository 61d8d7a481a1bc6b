"""`banger doctor`: can this machine run VMs, and how well."""

import platform

import click

from banger.cli.app import RemoteExitError
from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json
from banger.cli.start_daemon import daemon
from banger.model.errors import BangerError
from banger.model.views import CheckView

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command("doctor")
@as_json
def command(*, json_output: bool) -> None:
    """Check whether this machine can run VMs. The exit status is 1 if a check fails."""
    checks = [_architecture(), *_from_daemon()]
    if json_output:
        print_json(checks)
    else:
        for check in checks:
            print(f"{MARKS[check.status]}  {check.name}: {check.detail}")
            if check.hint:
                print(f"      try: {check.hint}")
    if any(check.status == "fail" for check in checks):
        raise RemoteExitError(1)


def _from_daemon() -> list[CheckView]:
    try:
        with daemon() as client:
            return [
                CheckView("daemon", "ok", "answers"),
                *decode_list(CheckView, client.get("/v1/doctor")),
            ]
    except BangerError as error:
        return [CheckView("daemon", "fail", error.message, error.hint)]


def _architecture() -> CheckView:
    machine = platform.machine()
    if machine in {"x86_64", "amd64"}:
        return CheckView("architecture", "ok", machine)
    why = "the guest programs, the kernel and the images that banger uses are built for x86_64 only"
    return CheckView("architecture", "fail", f"{machine}: {why}")
