"""`banger doctor`: can this machine run VMs, and how well."""

import os
import platform
from pathlib import Path

import click

from banger.cli.app import RemoteExitError
from banger.cli.decode import decode_list
from banger.cli.follow import follow
from banger.cli.options import as_json, quiet
from banger.cli.output import print_json, sanitised
from banger.cli.progress import progress
from banger.cli.sizes import vm_defaults
from banger.cli.start_daemon import daemon
from banger.host.config_file import load_config
from banger.model.errors import BangerError
from banger.model.views import CheckView

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command("doctor")
@click.option("--deep", is_flag=True, help="Also make a VM: does it boot, write, resolve and reach out? It is removed.")
@click.option("--fix", is_flag=True, help="Print only the commands that mend what is wrong; nothing is run.")
@quiet
@as_json
def command(*, deep: bool, fix: bool, quiet: bool, json_output: bool) -> None:
    """Check whether this machine can run VMs. The exit status is 1 if a check fails."""
    checks = [_architecture(), _vm_defaults(), *_from_daemon(deep=deep, is_quiet=quiet or json_output)]
    if json_output:
        print_json(checks)
    elif fix:
        for hint in dict.fromkeys(check.hint for check in checks if check.status != "ok" and check.hint):
            print(hint)
    else:
        _show(checks)
    if any(check.status == "fail" for check in checks):
        raise RemoteExitError(1)


def _show(checks: list[CheckView]) -> None:
    for check in checks:
        print(sanitised(f"{MARKS[check.status]}  {check.name}: {check.detail}"))
        if check.hint and check.status != "ok":
            print(f"      try: {check.hint}")


def _from_daemon(*, deep: bool, is_quiet: bool) -> list[CheckView]:
    try:
        with daemon() as client:
            found = [CheckView("daemon", "ok", "answers"), *decode_list(CheckView, client.get("/v1/doctor"))]
            if deep:
                with progress(quiet=is_quiet) as shown:
                    found += decode_list(CheckView, follow(client, client.post("/v1/doctor/probe", {}), shown))
            return found
    except BangerError as error:
        return [CheckView("daemon", "fail", error.message, error.hint)]


def _architecture() -> CheckView:
    machine = platform.machine()
    if machine in {"x86_64", "amd64"}:
        return CheckView("architecture", "ok", machine)
    why = "the guest programs, the kernel and the images that banger uses are built for x86_64 only"
    return CheckView("architecture", "fail", f"{machine}: {why}")


def _vm_defaults() -> CheckView:
    """What a VM gets if nothing is said, and where each of it comes from."""
    try:
        config = load_config(os.environ, places=True)
    except BangerError as error:
        return CheckView("vm defaults", "fail", error.message, error.hint)
    found = [f"{one.name} {one.value} ({one.where or one.source})" for one in vm_defaults(config)]
    there = "" if Path(config.path).exists() else ", which is not there"
    return CheckView("vm defaults", "ok", f"{', '.join(found)}; configured in {config.path}{there}")
