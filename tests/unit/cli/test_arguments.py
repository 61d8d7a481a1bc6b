"""What the command line accepts, refuses and shows without doing anything."""

import json
import os
from pathlib import Path

import pytest

from banger.cli.amounts import parse_age
from banger.cli.output import sanitised
from banger.cli.sizes import defaults_for
from banger.model.errors import SpecError
from tests.fakes.installation import Installation

REFUSED = [
    (["vm", "run", "--branch", "x"], "--branch needs a PATH"),
    (["vm", "run", "--from", "x"], "--from needs a PATH"),
    (["vm", "run", "--include-untracked"], "--include-untracked needs a PATH"),
    (["vm", "run", "/tmp", "--from", "x"], "--from needs --branch"),
    (["vm", "run", "/nowhere/at/all"], "/nowhere/at/all: there is no such directory"),
    (["vm", "run", "--setup", "x", "--no-setup"], "--setup and --no-setup exclude each other"),
    (["vm", "run", "--setup-lock", "x"], "--setup-lock needs --setup"),
    (["vm", "run", "--setup", " "], "--setup is empty"),
    (["vm", "fork", "box", "-n", "0"], "0 is not in the range"),
    (["vm", "run", "--"], "'--' must be followed by a command"),
    (["vm", "run", "--dry-run"], "--dry-run needs a PATH"),
    (["vm", "run", "--name", "Not_A_Name"], "'Not_A_Name' cannot be a VM's name"),
    (["vm", "run", "--vcpu", "0"], "vcpu 0 is out of range: 1 to 32"),
    (["vm", "run", "--vcpu", "many"], "'many' is not a valid integer"),
    (["vm", "run", "--memory", "1M"], "memory 1M is out of range"),
    (["vm", "run", "--memory", "900000"], "more than this host has"),
    (["vm", "run", "--disk-size", "lots"], "'lots' is not a size"),
    (["vm", "run", "a", "b"], "unexpected extra argument"),
    (["vm", "show"], "Missing argument"),
    (["vm", "show", "a", "b"], "unexpected extra argument"),
    (["vm", "logs", "a", "b"], "unexpected extra argument"),
    (["vm", "stop"], "name a VM, or say --all"),
    (["cache", "prune", "--older-than", "soon"], "'soon' is not an age"),
    (["tui"], "No such command 'tui'"),
    (["vm", "session"], "No such command 'session'"),
    (["image", "build"], "No such command 'build'"),
]


@pytest.mark.requirement("CLI-001", "CLI-007", "CLI-008")
@pytest.mark.parametrize(("words", "reason"), REFUSED, ids=[" ".join(words) for words, _reason in REFUSED])
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_done(
    shared: Installation, words: list[str], reason: str
) -> None:
    done = shared.run(*words)
    assert done.returncode in {1, 2}
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert reason in first
    assert len(rest) <= 1
    assert not shared.state.exists()


@pytest.mark.requirement("CLI-061")
@pytest.mark.parametrize("words", [["--help"], ["vm", "--help"], ["vm", "run", "--help"], ["--version"]])
def test_help_and_version_write_nothing(banger: Installation, words: list[str], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    banger.ok(*words)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.requirement("CLI-024")
@pytest.mark.parametrize(
    ("cpus", "memory_mib", "shown"),
    [(1, 512, ("1", "256")), (2, 4096, ("2", "1024")), (8, 65536, ("2", "8192")), (64, 262144, ("4", "8192"))],
)
def test_help_shows_the_defaults_of_this_host(
    shared: Installation, cpus: int, memory_mib: int, shown: tuple[str, str]
) -> None:
    text = shared.ok("vm", "run", "--help", FAKE_CPUS=str(cpus), FAKE_MEMORY_MIB=str(memory_mib))
    assert f"--vcpu INT           Virtual CPUs (default {shown[0]})." in text
    assert f"--memory SIZE        Memory, in MiB or as 2G (default {shown[1]})." in text
    assert "--disk-size SIZE     Work disk, /root (default 8G)." in text


def test_help_of_vm_run_is_as_it_was(shared: Installation) -> None:
    golden = Path(__file__).parent / "vm_run_help.txt"
    text = shared.ok("vm", "run", "--help", FAKE_CPUS="16", FAKE_MEMORY_MIB="32768", COLUMNS="80")
    if os.environ.get("BANGER_UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_default_memory_moves_in_halves_with_what_is_available() -> None:
    assert defaults_for(8, 65536, 60000).memory_mib == 8192
    assert defaults_for(8, 65536, 12000).memory_mib == 4096
    assert defaults_for(8, 65536, 11000).memory_mib == 4096
    assert defaults_for(8, 65536, 100).memory_mib == 256


def test_every_age_has_a_unit() -> None:
    assert [parse_age(text) for text in ("90s", "30m", "12h", "7d")] == [90, 1800, 43200, 604800]
    with pytest.raises(SpecError):
        parse_age("12")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\tö\n", "plain\tö\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;ZXZpbA==\x1b\\x", "x"),
        ("\x1bcx\x9b2Jy\r\x08\x00\x7f", "x2Jy"),
        ("cut \x1b", "cut "),
    ],
)
def test_a_console_cannot_command_the_terminal(raw: str, shown: str) -> None:
    assert sanitised(raw) == shown


def test_logs_show_the_end_of_the_console_and_are_raw_for_programs(banger: Installation) -> None:
    banger.ok("vm", "create", "--name", "box")
    assert banger.ok("vm", "logs", "box").startswith("line 1\nline 2\n")
    assert banger.ok("vm", "logs", "box", "-n", "2") == "line 20\n\x1b[31mred\x1b[0m\n"
    assert banger.ok("vm", "logs", "box", "-n", "0") == ""
    assert banger.ok("vm", "logs", "box", "-n", "99") == banger.ok("vm", "logs", "box")


def test_programs_get_json(banger: Installation) -> None:
    created = json.loads(banger.ok("vm", "create", "--name", "box", "--json"))
    assert json.loads(banger.ok("vm", "list", "--json")) == [created]
    assert json.loads(banger.ok("vm", "show", "box", "--json")) == created
    assert json.loads(banger.ok("vm", "stop", "box", "--json"))[0]["state"] == "stopped"
    assert json.loads(banger.ok("plan", "vm", "create", "--json"))["predicted_s"] == 6.0
    assert json.loads(banger.ok("bench", "--json"))["modes"][0]["stages"][0]["stage"] == "image.rootfs"
    assert json.loads(banger.ok("cache", "ls", "--json"))[0]["kind"] == "image.rootfs"
    assert json.loads(banger.ok("cache", "show", "abab", "--json"))["size_bytes"] == 200 << 20
    assert json.loads(banger.ok("cache", "prune", "--json"))["freed_bytes"] == 3 << 20
    assert json.loads(banger.ok("doctor", "--json"))[0]["status"] == "ok"
    assert json.loads(banger.ok("daemon", "status", "--json"))["operations"] == 0


def test_the_plan_is_a_tree_with_its_prediction(shared: Installation) -> None:
    assert shared.ok("plan", "vm", "create") == PLAN


PLAN = """\
vm.ready SSH                                gate    *               last 1.00 s
└─ vm.boot                                  effect  *               never run
   ├─ image.rootfs debian-bookworm-slim     hit       abababababab  last 41.0 s
   └─ disk.work                             effect                  last 0.01 s
      └─ image.rootfs debian-bookworm-slim  (above)

1 hit, 2 effect, 1 gate; * is the critical path
predicted time: about 6.00 s, one after another 6.01 s
as root: nothing
"""


def test_several_vms_are_handled_and_every_failure_is_told(banger: Installation) -> None:
    for name in ("a", "b"):
        banger.ok("vm", "create", "--name", name)
    done = banger.run("vm", "delete", "a", "none", "b", "neither")
    assert done.returncode == 1
    assert "VM 'none'" in done.stderr
    assert "VM 'neither'" in done.stderr
    assert "2 of 4 failed" in done.stderr
    assert banger.names() == []


@pytest.mark.requirement("CLI-044")
def test_doctor_fails_if_a_check_fails(banger: Installation) -> None:
    done = banger.run("doctor", FAKE_DOCTOR="fail")
    assert done.returncode == 1
    assert "FAIL  space: 3 GiB free" in done.stdout


@pytest.mark.parametrize("name", ["a b", "..", "x\r\nHost: evil", "ü", "a/../../health", "%2e"])
def test_a_name_that_is_no_name_is_only_not_found(shared: Installation, name: str) -> None:
    done = shared.run("vm", "show", name)
    assert done.returncode in {1, 2}
    assert "none such" in done.stderr or "Not Found" in done.stderr


def test_a_bug_shows_no_traceback_and_no_internals(banger: Installation) -> None:
    done = banger.run("vm", "create", "--name", "bug-1")
    assert done.returncode == 1
    assert "secret internals" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret internals" in banger.paths.daemon_log.read_text()


@pytest.mark.requirement("CLI-055")
def test_completion_asks_a_running_daemon_and_never_starts_one(banger: Installation) -> None:
    words = {"_BANGER_COMPLETE": "bash_complete", "COMP_WORDS": "banger vm ssh b", "COMP_CWORD": "3"}
    assert banger.run(**words).stdout.strip() == ""
    assert not banger.state.exists()
    banger.ok("vm", "create", "--name", "box")
    banger.ok("vm", "create", "--name", "other")
    assert banger.run(**words).stdout == "plain,box\n"
    words |= {"COMP_WORDS": "banger vm stop box ", "COMP_CWORD": "4"}
    assert banger.run(**words).stdout == "plain,other\n"
