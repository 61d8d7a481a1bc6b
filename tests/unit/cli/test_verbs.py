"""The everyday verbs: real command line, real daemon, real HTTP; the VMs are fake."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from banger.cli.forwards import parse_forward
from banger.model.errors import SpecError
from banger.model.vm import Forward
from tests.fakes.installation import Installation

MANY = ["start", "stop", "restart", "kill"]


def state(banger: Installation, name: str) -> str:
    return str(json.loads(banger.ok("vm", "show", name, "--json"))["state"])


def at_a_terminal(banger: Installation, answer: bytes, *words: str) -> tuple[int, str]:
    """Run it at a terminal and type an answer; return its exit status and what was shown."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(banger.argv(*words), env=banger.env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, answer)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # EIO: the other end has closed
            pass
        status = process.wait()
    os.close(ours)
    return status, shown.decode(errors="replace")


@pytest.mark.requirement("CLI-030")
@pytest.mark.parametrize("verb", [*MANY, "delete"])
def test_sixteen_vms_at_once_each_result_is_told_and_what_fails_fails_alone(banger: Installation, verb: str) -> None:
    present = [f"vm-{number}" for number in range(8)]
    banger.create(*present)
    named = [word for pair in zip(present, [f"none-{number}" for number in range(8)], strict=True) for word in pair]
    done = banger.run("vm", verb, *named)
    assert done.returncode == 1
    assert done.stdout.split() == present
    assert [line.split("'")[1] for line in done.stderr.splitlines() if "none such" in line] == named[1::2]
    assert "banger: 8 of 16 failed" in done.stderr
    assert banger.calls(f"{verb}_vm") == (present if verb != "delete" else banger.calls("delete_vm"))
    assert len(banger.calls(f"{verb}_vm")) == 8


@pytest.mark.requirement("CLI-030")
def test_set_takes_several_vms(banger: Installation) -> None:
    banger.create("a", "b")
    banger.ok("vm", "stop", "--all")
    assert banger.ok("vm", "set", "a", "b", "--memory", "2G", "--vcpu", "3").split() == ["a", "b"]
    sizes = [vm["sizes"] for vm in json.loads(banger.ok("vm", "list", "--json"))]
    assert [(size["memory_mib"], size["vcpus"]) for size in sizes] == [(2048, 3)] * 2


def test_all_means_those_of_which_it_makes_sense(banger: Installation) -> None:
    banger.create("a", "b", "c")
    banger.ok("vm", "stop", "b")
    assert banger.ok("vm", "restart", "--all").split() == ["a", "c"]
    assert banger.ok("vm", "stop", "--all").split() == ["a", "c"]
    assert banger.ok("vm", "stop", "--all") == ""
    assert banger.ok("vm", "start", "--all").split() == ["a", "b", "c"]
    assert banger.ok("vm", "kill", "-a").split() == ["a", "b", "c"]
    assert banger.ok("vm", "delete", "--all", "--yes").split() == ["a", "b", "c"]
    assert banger.names() == []


def test_names_and_all_exclude_each_other_and_one_is_needed(shared: Installation) -> None:
    for verb in [*MANY, "delete"]:
        assert "exclude each other" in shared.run("vm", verb, "a", "--all").stderr
        assert "name a VM, or say --all" in shared.run("vm", verb).stderr


def test_more_vms_than_the_daemon_remembers_operations_of(banger: Installation) -> None:
    names = [f"vm-{number}" for number in range(100)]
    banger.create(*names)
    assert banger.ok("vm", "stop", "--all").split() == names
    assert banger.ok("vm", "delete", "--all").split() == names


def test_failures_are_told_even_if_it_is_to_be_quiet(banger: Installation) -> None:
    banger.create("a")
    done = banger.run("vm", "stop", "-q", "none", "a")
    assert (done.returncode, done.stdout) == (1, "a\n")
    assert "VM 'none': there is none such" in done.stderr


def test_the_same_vm_named_twice_is_one_vm(banger: Installation) -> None:
    banger.create("a")
    assert banger.ok("vm", "stop", "a", "a") == "a\n"
    assert banger.calls("stop_vm") == ["a"]


def test_what_failed_alone_has_its_own_message_and_hint(banger: Installation) -> None:
    done = banger.run("vm", "stop", "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "banger: VM 'none': there is none such\n  try: banger vm list\n"


def test_json_of_several_is_one_list_even_if_some_fail(banger: Installation) -> None:
    banger.create("a")
    done = banger.run("vm", "stop", "none", "a", "--json")
    assert done.returncode == 1
    assert [vm["name"] for vm in json.loads(done.stdout)] == ["a"]


def test_prune_deletes_stopped_vms_and_no_others(banger: Installation) -> None:
    banger.create("a", "b", "c")
    assert banger.ok("vm", "prune") == ""
    banger.ok("vm", "stop", "a", "c")
    assert banger.ok("vm", "prune").split() == ["a", "c"]
    assert banger.names() == ["b"]


def test_prune_and_delete_all_ask_at_a_terminal(banger: Installation) -> None:
    banger.create("a")
    banger.ok("vm", "stop", "a")
    for words in (["vm", "prune"], ["vm", "delete", "--all"]):
        for answer in (b"n\n", b"\n", b"\x04"):
            status, shown = at_a_terminal(banger, answer, *words)
            assert "Delete a? [y/N]" in shown
            assert status == 130
            assert banger.names() == ["a"]
    assert at_a_terminal(banger, b"", "vm", "prune", "--yes")[0] == 0
    assert banger.names() == []


def test_a_vm_that_was_started_meanwhile_is_not_pruned(banger: Installation) -> None:
    banger.create("a")
    with banger.client() as client:
        operation = client.request("DELETE", "/v1/vms/a?if_stopped=true")
        assert isinstance(operation, dict)
        last = list(client.stream(f"/v1/operations/{operation['id']}/events"))[-1]
    assert (last["event"], last.get("code")) == ("error", "conflict")
    assert banger.names() == ["a"]


def test_set_refuses_what_cannot_be_before_and_after_it_asks(banger: Installation) -> None:
    banger.ok("vm", "create", "--name", "a", "--disk-size", "8G")
    assert "nothing is to be changed" in banger.run("vm", "set", "a").stderr
    assert "--name needs exactly one VM" in banger.run("vm", "set", "a", "b", "--name", "c").stderr
    done = banger.run("vm", "set", "a", "--memory", "2G")
    assert (done.returncode, "is running" in done.stderr, "try: banger vm stop a" in done.stderr) == (1, True, True)
    banger.ok("vm", "stop", "a")
    assert "cannot become smaller" in banger.run("vm", "set", "a", "--disk-size", "4G").stderr
    assert "vcpus" in banger.run("vm", "set", "a", "--vcpu", "999").stderr
    shown = json.loads(banger.ok("vm", "set", "a", "--disk-size", "16G", "--no-nat", "--json"))[0]
    assert (shown["sizes"]["disk_bytes"], shown["nat"]) == (16 << 30, False)


def test_rename_works_while_it_runs_and_only_to_a_name(banger: Installation) -> None:
    banger.create("a")
    assert banger.ok("vm", "rename", "a", "b") == "a\n"
    assert banger.names() == ["b"]
    assert "cannot be a VM's name" in banger.run("vm", "rename", "b", "Not_A_Name").stderr


@pytest.mark.requirement("DMN-025")
def test_health_is_an_answer_and_an_exit_status(banger: Installation) -> None:
    banger.create("well", "sick-1")
    assert banger.ok("vm", "health", "well") == "healthy: up 12.5 s, SSH listening, agent 1.0\n"
    done = banger.run("vm", "health", "sick-1")
    assert (done.returncode, done.stdout) == (1, "not healthy: the guest agent does not answer\n")
    assert json.loads(banger.run("vm", "health", "sick-1", "--json").stdout)["healthy"] is False


@pytest.mark.requirement("CLI-033")
def test_stats_shows_what_is_known(banger: Installation) -> None:
    for name in ("well", "sick-1"):
        banger.ok("vm", "create", "--name", name, "--vcpu", "2", "--memory", "1G")
    shown = banger.ok("vm", "stats", "well")
    assert "cpu:          150 % of one CPU now, 3.50 s in 1 min 40 s; 2 vcpu" in shown
    assert "memory:       300.0 MiB (80.0 MiB without what others share) of 1G" in shown
    assert "guest load:   0.50 0.25 0.12" in shown
    assert "guest memory: 400.0 MiB of 1000.0 MiB used" in shown
    assert "problem:      the guest does not say: no answer" in banger.ok("vm", "stats", "sick-1")
    banger.ok("vm", "stop", "well")
    assert "cpu" not in banger.ok("vm", "stats", "well")
    assert json.loads(banger.ok("vm", "stats", "well", "--json"))["cpu_s"] is None


PORTS = """\
PROTO  ENDPOINT                                 PROCESS      COMMAND
https  https://127.77.1.2:8443/                 nginx        nginx: master
http   http://127.77.1.2:8080/                  python3      python3 -m http.server 8080
tcp    127.0.0.1:40022                          banger-init  /init
tcp    (only inside the VM, at 127.0.0.1:5432)  postgres     postgres -D /root/db
"""


@pytest.mark.requirement("CLI-034")
@pytest.mark.requirement("CLI-036")
def test_ports_are_a_table_with_links(banger: Installation) -> None:
    banger.create("web-1")
    assert banger.ok("vm", "ports", "web-1") == PORTS
    assert "unexpected extra argument" in banger.run("vm", "ports", "web-1", "b").stderr
    assert json.loads(banger.ok("vm", "ports", "web-1", "--json"))["ports"][3]["endpoint"] is None


@pytest.mark.requirement("CLI-033")
@pytest.mark.parametrize("verb", ["show", "logs", "stats", "ports", "health"])
def test_a_look_is_at_exactly_one_vm(shared: Installation, verb: str) -> None:
    assert "unexpected extra argument" in shared.run("vm", verb, "a", "b").stderr
    assert "Missing argument" in shared.run("vm", verb).stderr


def test_forwards_are_added_listed_and_removed(banger: Installation) -> None:
    banger.ok("vm", "create", "--name", "a", "-p", "8080:80", "-p", "127.0.0.2:53:53/udp")
    assert json.loads(banger.ok("vm", "show", "a", "--json"))["ports"] == [
        {"host_port": 8080, "guest_port": 80, "host": "127.0.0.1", "protocol": "tcp"},
        {"host_port": 53, "guest_port": 53, "host": "127.0.0.2", "protocol": "udp"},
    ]
    assert banger.ok("vm", "forward", "a", "9000:90") == "PROTO  HOST            GUEST\ntcp    127.0.0.1:9000  90\n"
    assert "127.0.0.1:9000" in banger.ok("vm", "forward", "a")
    assert "9000" not in banger.ok("vm", "forward", "a", "--remove", "9000:90")
    done = banger.run("vm", "forward", "a", "1:1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "banger: port 1 of 127.0.0.1 cannot be forwarded: it is in use",
        "  try: choose another port",
    ]


@pytest.mark.parametrize(
    ("text", "forward"),
    [
        ("80", Forward(80, 80)),
        ("8080:80", Forward(8080, 80)),
        ("0.0.0.0:8080:80", Forward(8080, 80, "0.0.0.0")),
        ("5353:53/udp", Forward(5353, 53, protocol="udp")),
    ],
)
def test_a_forward_listens_on_loopback_unless_told_otherwise(text: str, forward: Forward) -> None:
    assert parse_forward(text) == forward


@pytest.mark.parametrize(
    "text",
    ["", "0:80", "80:0", "65536", "a:80", "80:", ":80", "1.2.3:80:80", "256.0.0.1:80:80", "01.2.3.4:80:80", "8:8/sctp",
     "127.0.0.1:80", "::1:80:80", "-1:80", "80:80 x", "80:80\n", "1:2:3:4"],
)  # fmt: skip
def test_what_is_no_forward_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse_forward(text)


@pytest.mark.requirement("CLI-016")
def test_the_reminder_asks_for_the_health_and_says_nothing_of_a_vm_that_stopped(banger: Installation) -> None:
    done = banger.run("vm", "run", "--name", "stays", "--ssh", "--", "true")
    assert "VM 'stays' is still running: banger vm ssh stays" in done.stderr
    assert banger.calls("health_vm") == ["00000001"]
    assert "still running" not in banger.run("vm", "run", "--rm", "--name", "goes", "--ssh", "--", "true").stderr


def test_list_has_filters_and_names_for_scripts(banger: Installation) -> None:
    banger.create("a", "b")
    banger.ok("vm", "stop", "b")
    assert banger.ok("vm", "list", "-q") == "a\nb\n"
    assert banger.ok("vm", "list", "-q", "--state", "stopped") == "b\n"
    assert banger.ok("vm", "list", "-q", "--image", "other") == ""
    head = banger.ok("vm", "list").splitlines()[0].split()
    assert head == ["NAME", "STATE", "IMAGE", "SIZES", "ADDRESS", "AGE", "WORKSPACE"]
    assert "'asleep' is not one of" in banger.run("vm", "list", "--state", "asleep").stderr


def test_a_console_is_shown_without_the_hole_before_it_and_followed_until_the_vm_stops(banger: Installation) -> None:
    banger.create("a")
    console = Path(json.loads(banger.ok("vm", "show", "a", "--json"))["console_log"])
    hole, text = 3 << 30, b"first\n" + b"x" * 300 + b"\n"
    rewrite(console, hole, text)
    assert banger.ok("vm", "logs", "a") == text.decode()
    assert banger.ok("vm", "logs", "a", "-n", "9") == text.decode()
    follower = banger.begin("vm", "logs", "-f", "-n", "1", "a")
    assert follower.stdout
    try:
        assert follower.stdout.readline() == "x" * 300 + "\n"
        with console.open("ab") as file:
            file.write(b"third\n")
        assert follower.stdout.readline() == "third\n"
        rewrite(console, hole, b"x" * 290 + b"\nthird\nfourth\n")  # the oldest is dropped: banger.vm.console
        assert follower.stdout.readline() == "fourth\n"
        rewrite(console, hole, b"anew\n")  # the VM is started again
        assert follower.stdout.readline() == "anew\n"
        banger.ok("vm", "stop", "a")
        assert follower.communicate(timeout=20) == ("", "")
        assert follower.returncode == 0
    finally:
        follower.kill()
        follower.communicate()


def rewrite(console: Path, hole: int, text: bytes) -> None:
    """Have it hold this text behind a hole."""
    with console.open("r+b") as file:
        file.truncate(0)
        file.truncate(hole)
        file.seek(hole)
        file.write(text)


@pytest.mark.requirement("CLI-049")
def test_daemon_status_says_whether_it_runs_and_never_starts_it(banger: Installation) -> None:
    assert banger.run("daemon", "status").returncode == 3
    assert not banger.state.exists()
    banger.ok("vm", "list")
    assert str(banger.daemon_pid()) in banger.ok("daemon", "status")
    view = json.loads(banger.ok("daemon", "status", "--json"))
    assert (view["pid"], view["operations"], view["sessions"]) == (banger.daemon_pid(), 0, 0)
