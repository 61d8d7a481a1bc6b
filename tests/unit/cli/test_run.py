"""`vm run`, by SSH: modes, exit statuses, and what becomes of the VM. Commands through the agent: test_exec.py."""

import os
import pty
import select
import signal
import subprocess
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from tests.fakes.installation import Installation, wait_until


@pytest.mark.requirement("CLI-004")
@pytest.mark.parametrize("status", [0, 1, 2, 42, 126, 127, 255])
def test_the_exit_status_of_the_command_is_bangers_own(shared: Installation, status: int) -> None:
    done = shared.run("vm", "run", "--rm", "--ssh", "--", "sh", "-c", f"echo out; exit {status}")
    assert done.returncode == status
    assert done.stdout == "out\n"
    assert "banger:" not in done.stderr


@pytest.mark.requirement("CLI-004")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_a_signal_ended_gives_128_and_its_number(shared: Installation, number: signal.Signals) -> None:
    done = shared.run("vm", "run", "--rm", "--ssh", "--", "sh", "-c", f"kill -{number} $$")
    assert done.returncode == 128 + number


@pytest.mark.requirement("CLI-006")
def test_a_failure_of_ssh_itself_is_told_apart_from_a_command_that_ends_with_255(shared: Installation) -> None:
    done = shared.run("vm", "run", "--rm", "--ssh", "--", "true", FAKE_SSH_COMPLAINT="Host key verification failed.")
    assert done.returncode == 1
    assert "Host key verification failed." in done.stderr


def test_words_reach_the_command_as_they_were_typed(shared: Installation) -> None:
    done = shared.run("vm", "run", "--rm", "-q", "--ssh", "--", "printf", "%s|", "a b", "$HOME", "it's", "")
    assert done.stdout == "a b|$HOME|it's||"


def test_standard_input_reaches_the_command(shared: Installation) -> None:
    argv = shared.argv("vm", "run", "--rm", "-q", "--ssh", "--", "cat")
    done = subprocess.run(argv, env=shared.env, input=b"\x00data", capture_output=True, check=True, timeout=60)
    assert done.stdout == b"\x00data"


@pytest.mark.requirement("CLI-031")
def test_ssh_is_told_everything_and_reads_no_configuration(banger: Installation) -> None:
    banger.run("vm", "run", "--rm", "--name", "box", "--ssh", "--", "true")
    argv = banger.ssh_argv()
    assert argv[argv.index("-F") + 1] == "none"
    options = {value for name, value in pairwise(argv) if name == "-o"}
    assert {
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        "ForwardAgent=no",
        "ControlPath=none",
        "BatchMode=yes",
        "GlobalKnownHostsFile=/dev/null",
        "HostKeyAlias=vm-box",
        'UserKnownHostsFile="/state/ssh/known_hosts"',
    } <= options
    assert argv[-3:] == ["--", "127.0.0.1", 'true; exit "$?"']


def test_a_command_with_a_workspace_runs_in_the_checkout() -> None:
    from banger.cli.ssh import remote_command, remote_shell

    assert remote_command(["make", "a b"], "/root/repo") == "cd /root/repo && { make 'a b'; exit \"$?\"; }"
    assert remote_shell("/root/repo") == 'cd /root/repo; exec "${SHELL:-/bin/sh}" -l'


@pytest.mark.requirement("CLI-011", "TST-005")
def test_rm_deletes_the_vm_whatever_the_exit_status(banger: Installation) -> None:
    banger.run("vm", "run", "--rm", "--name", "good", "--ssh", "--", "true")
    banger.run("vm", "run", "--rm", "--name", "bad", "--ssh", "--", "false")
    assert banger.names() == []
    assert len(banger.calls("delete_vm")) == 2


def test_rm_says_nothing_about_a_vm_that_is_still_running(shared: Installation) -> None:
    assert "still running" not in shared.run("vm", "run", "--rm", "--ssh", "--", "true").stderr


@pytest.mark.requirement("CLI-012")
def test_a_create_that_fails_leaves_nothing_to_delete(banger: Installation) -> None:
    done = banger.run("vm", "run", "--rm", "--name", "fail-1", "--ssh", "--", "true")
    assert done.returncode == 1
    assert "vm.boot: no such kernel" in done.stderr
    assert "delete_vm" not in banger.calls()


@pytest.mark.requirement("CLI-013", "SSH-012", "TST-005")
def test_a_guest_whose_ssh_never_answers_is_kept_for_its_logs(banger: Installation) -> None:
    done = banger.run("vm", "run", "--rm", "--name", "deaf-1", "--ssh", "--", "true", FAKE_SSH_WAIT_S="0.3")
    assert done.returncode == 1
    assert "VM 'deaf-1': no answer from its SSH" in done.stderr
    assert "banger vm logs deaf-1" in done.stderr
    assert banger.names() == ["deaf-1"]
    assert "delete_vm" not in banger.calls()


@pytest.mark.requirement("CLI-016")
def test_without_rm_the_vm_stays_and_the_user_is_reminded(banger: Installation) -> None:
    done = banger.run("vm", "run", "--name", "stays", "--ssh", "--", "true")
    assert "VM 'stays' is still running" in done.stderr
    assert banger.names() == ["stays"]


@pytest.mark.requirement("CLI-014")
def test_ctrl_c_during_the_session_ends_with_130_and_deletes(banger: Installation) -> None:
    process = banger.begin("vm", "run", "--rm", "--name", "busy", "--ssh", "--", "sleep", "30")
    wait_until(banger.ssh_argv_file.exists)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert banger.names() == []


def test_sigterm_reaches_ssh_and_the_vm_goes(banger: Installation) -> None:
    process = banger.begin("vm", "run", "--rm", "--ssh", "--", "sleep", "30")
    wait_until(banger.ssh_argv_file.exists)
    process.terminate()
    assert process.wait(20) == 143
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the fake's grandchild, if there is one yet, holds our pipes
    process.communicate()
    assert banger.names() == []


def test_a_command_line_that_is_killed_takes_its_throw_away_vm_with_it(banger: Installation) -> None:
    process = banger.begin("vm", "run", "--rm", "--ssh", "--", "sleep", "30")
    wait_until(banger.ssh_argv_file.exists)
    assert banger.names()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    wait_until(lambda: not banger.names())


@pytest.mark.requirement("CLI-062")
def test_ctrl_c_during_create_undoes_it(banger: Installation) -> None:
    process = banger.begin("vm", "create", "--name", "slow-1")
    wait_until(lambda: "create_vm" in banger.calls())
    os.killpg(process.pid, signal.SIGINT)
    _out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "cancelling" in err
    assert banger.calls() == ["create_vm", "undone"]
    assert banger.names() == []


@pytest.mark.requirement("CLI-062")
def test_a_command_line_that_is_killed_during_create_leaves_no_half_made_vm(banger: Installation) -> None:
    process = banger.begin("vm", "run", "--name", "slow-1")
    wait_until(lambda: "create_vm" in banger.calls())
    process.kill()
    process.communicate(timeout=20)
    wait_until(lambda: "undone" in banger.calls())


@pytest.mark.requirement("CLI-002")
def test_without_a_command_there_is_a_shell_on_the_terminal(banger: Installation) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        banger.argv("vm", "run", "--name", "inter"),
        env=banger.env,
        stdin=follower,
        stdout=follower,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    os.close(follower)
    seen = _read_until(leader, b"guest# ")
    os.write(leader, b"hello\n")
    seen += _read_until(leader, b"you said hello")
    _out, err = process.communicate(timeout=20)
    os.close(leader)
    assert process.returncode == 7
    assert "-t" in banger.ssh_argv()
    assert "VM 'inter' is still running" in err


def _read_until(descriptor: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        assert select.select([descriptor], [], [], 20)[0], f"only {seen!r}"
        seen += os.read(descriptor, 4096)
    return seen


@pytest.mark.requirement("CLI-022", "CLI-023", "CLI-025", "DSK-007")
def test_the_spec_line_equals_what_the_daemon_is_asked_for(banger: Installation) -> None:
    done = banger.run("vm", "create", "--vcpu", "3", "--memory", "640", "--disk-size", "2G")
    assert done.stderr.splitlines()[0] == "spec: 3 vcpu · 640 MiB · 2G disk"
    (request,) = banger.calls("create_vm")
    assert isinstance(request, dict)
    assert request["sizes"] == {"vcpus": 3, "memory_mib": 640, "disk_bytes": 2 << 30}


@pytest.mark.requirement("WSP-005")
def test_a_workspace_request_carries_its_options(banger: Installation, tmp_path: Path) -> None:
    banger.ok("vm", "create", str(tmp_path), "--branch", "try", "--from", "main", "--include-untracked")
    (request,) = banger.calls("create_vm")
    assert isinstance(request, dict)
    assert request["workspace"] == {
        "path": str(tmp_path),
        "include_untracked": True,
        "branch": "try",
        "from_ref": "main",
        "full_copy": False,
    }
