"""What a machine that refuses namespaces lacks, and what to type."""

import os
from pathlib import Path

import pytest

from banger.debian.namespaces import explain_refusal, namespace_argv, remove_scratch


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine that has all that is needed, for the user `ada`."""
    for file in ("etc/subuid", "etc/subgid"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("other:1:9\nbroken\nada:x:y\nada:100000:65536\n")
    for knob, value in (
        ("kernel/unprivileged_userns_clone", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "0"),
        ("user/max_user_namespaces", "1000"),
    ):
        (tmp_path / "proc" / knob).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc" / knob).write_text(value + "\n")
    return tmp_path


def hint(machine: Path, *, helper: bool = True, root: bool = False) -> str | None:
    error = explain_refusal(
        "it said no", root=root, user="ada", proc=machine / "proc", etc=machine / "etc", helper=helper
    )
    assert error.message.startswith("a root filesystem needs namespaces")
    return error.hint


@pytest.mark.parametrize("file", ["subuid", "subgid"])
@pytest.mark.parametrize("content", [None, "", "ada:100000:1000\n", "bob:100000:65536\n"])
def test_a_user_without_subordinate_ids_is_told_the_command(machine: Path, file: str, content: str | None) -> None:
    path = machine / "etc" / file
    path.unlink() if content is None else path.write_text(content)
    assert hint(machine) == "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ada"


def test_subordinate_ids_may_be_given_by_number(machine: Path) -> None:
    for file in ("subuid", "subgid"):
        (machine / "etc" / file).write_text(f"{os.getuid()}:100000:65536\n")
    assert hint(machine) == "run banger as root, or ask the administrator of this machine"


@pytest.mark.parametrize(
    ("knob", "bad", "command"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_a_switch_that_forbids_namespaces_is_named(machine: Path, knob: str, bad: str, command: str) -> None:
    (machine / "proc" / knob).write_text(bad)
    assert hint(machine) == command


def test_a_missing_helper_is_named(machine: Path) -> None:
    assert hint(machine, helper=False) == "sudo apt-get install uidmap"


def test_an_unknown_refusal_tells_what_the_machine_said(machine: Path) -> None:
    error = explain_refusal("it said no", root=False, user="ada", proc=machine, etc=machine / "etc", helper=True)
    assert error.message.endswith("it said no")
    assert hint(machine, root=True) == "run outside of a container, or as an ordinary user"


def test_the_command_line_dies_with_its_caller() -> None:
    argv = namespace_argv(["true"])
    assert argv[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert {"--kill-child=KILL", "--pid", "--mount", "--net"} < set(argv)
    assert argv[-2:] == ["--", "true"]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_removing_a_scratch_directory_twice_is_fine(tmp_path: Path) -> None:
    (tmp_path / "scratch/-rf").mkdir(parents=True)
    (tmp_path / "keep").touch()
    (tmp_path / "scratch/link").symlink_to(tmp_path)
    await remove_scratch(tmp_path / "scratch")
    await remove_scratch(tmp_path / "scratch")
    assert _names(tmp_path) == ["keep"]
