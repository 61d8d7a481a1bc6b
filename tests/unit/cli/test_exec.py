"""`vm exec`: the real command line, daemon and agent; the program runs on this machine."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger.model.errors import DaemonError
from tests.fakes.agent import build_checked_agent
from tests.fakes.installation import Installation, alive, installed, wait_until


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a VM called `box` in which commands can be run."""
    agent = build_checked_agent(tmp_path_factory.mktemp("agent"))
    with installed(tmp_path_factory.mktemp("exec")) as installation:
        installation.env["FAKE_AGENT"] = str(agent)
        installation.ok("vm", "create", "--name", "box")
        installation.ok("vm", "create", "--name", "off")
        installation.ok("vm", "stop", "off")
        yield installation


def execute(box: Installation, *words: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    argv = box.argv("vm", "exec", "box", *words)
    return subprocess.run(argv, env=box.env, input=stdin, capture_output=True, timeout=60, check=False)


@contextmanager
def begin(box: Installation, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start it, with pipes; it is killed at the end if it is still there."""
    argv = box.argv("vm", "exec", "box", *words)
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=box.env, stdin=pipe, stdout=pipe, stderr=pipe, process_group=0, bufsize=0) as begun:
        try:
            yield begun
        finally:
            begun.kill()


def line(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout
    return process.stdout.readline()


@pytest.mark.parametrize("status", [0, 1, 2, 42, 126, 127, 255])
def test_the_exit_status_is_bangers_own(box: Installation, status: int) -> None:
    done = execute(box, "--", "sh", "-c", f"echo out; echo err >&2; exit {status}")
    assert (done.returncode, done.stdout, done.stderr) == (status, b"out\n", b"err\n")


def test_the_end_by_a_signal_is_128_and_its_number(box: Installation) -> None:
    assert execute(box, "--", "sh", "-c", "kill -KILL $$").returncode == 137


@pytest.mark.parametrize(("word", "status"), [("no-such-program", 127), ("/etc/passwd", 126), ("/etc/passwd/x", 127)])
def test_a_program_that_cannot_be_run_is_told_as_a_shell_tells_it(box: Installation, word: str, status: int) -> None:
    done = execute(box, "--", word)
    assert done.returncode == status
    assert word.encode() in done.stderr


def test_words_arrive_as_they_are(box: Installation) -> None:
    words = ["a b", "$HOME", "it's", "", "*", 'q"', "--", "-n", "ü", "new\nline", os.fsdecode(b"\xff\xfe")]
    done = execute(box, "--", "printf", "%s|", *words)
    assert done.stdout == b"".join(os.fsencode(word) + b"|" for word in words)


def test_bytes_pass_both_ways_unharmed(box: Installation) -> None:
    data = os.urandom(3 << 20) + bytes(100_000) + bytes(range(256)) * 100
    done = execute(box, "--", "cat", stdin=data)
    assert done.returncode == 0
    assert done.stdout == data


def test_variables_and_directory_are_what_was_asked_for(box: Installation) -> None:
    (box.state / "agent/root/sub").mkdir(parents=True, exist_ok=True)
    (box.state / "agent/etc").mkdir(exist_ok=True)
    done = execute(box, "--workdir", "/root/sub", "-e", "A=b=c", "-e", "LANG", "--", "sh", "-c", 'echo "$A $LANG"; pwd')
    assert done.stdout.decode() == f"b=c C.UTF-8\n{box.state}/agent/root/sub\n"
    assert execute(box, "--workdir", "/nowhere", "--", "true").returncode == 126


def test_no_stdin_leaves_our_input_to_others(box: Installation) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"mine")
    os.close(write_end)
    argv = box.argv("vm", "exec", "box", "-n", "--", "cat")
    subprocess.run(argv, env=box.env, stdin=read_end, check=True, timeout=60)
    assert os.read(read_end, 100) == b"mine"
    os.close(read_end)


def test_a_command_that_ends_does_not_wait_for_our_input(box: Installation) -> None:
    with begin(box, "--", "true") as process:
        assert process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command_even_behind_input_that_nobody_reads(box: Installation, number: int) -> None:
    script = f"trap 'echo caught; exit 3' {signal.Signals(number).name[3:]}; echo ready; while :; do sleep 0.05; done"
    with begin(box, "--", "sh", "-c", script) as process:
        assert process.stdin
        assert line(process) == b"ready\n"
        stuff_full(process.stdin.fileno())
        process.send_signal(number)
        assert process.wait(20) == 3
        assert line(process) == b"caught\n"


def stuff_full(descriptor: int) -> None:
    """Write until nobody takes any more for a while."""
    while select.select([], [descriptor], [], 0.5)[1]:
        os.write(descriptor, bytes(4096))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT])
def test_the_command_goes_when_the_command_line_is_killed(box: Installation, number: int) -> None:
    with begin(box, "--", "sh", "-c", "sleep 1000 & echo $! $$; wait") as process:
        pids = [int(word) for word in line(process).split()]
        assert all(map(alive, pids))
        process.send_signal(number)
    wait_until(lambda: not any(map(alive, pids)), 5)


def test_output_that_nobody_reads_holds_up_nobody_else(box: Installation) -> None:
    with begin(box, "--", "yes"):
        time.sleep(0.5)
        assert execute(box, "--", "echo", "ok").stdout == b"ok\n"


def test_a_reader_that_leaves_ends_the_command(box: Installation) -> None:
    with begin(box, "--", "sh", "-c", "echo $$; exec yes") as process:
        pid = int(line(process))
        assert process.stdout
        process.stdout.close()
        assert process.wait(20) == 128 + signal.SIGPIPE, process.stderr and process.stderr.read()
    wait_until(lambda: not alive(pid), 5)


def test_a_vm_that_is_stopped_or_unknown_is_told(box: Installation) -> None:
    done = box.run("vm", "exec", "off", "--", "true")
    assert done.returncode == 1
    assert "stopped" in done.stderr
    assert "banger vm start off" in done.stderr
    assert box.run("vm", "exec", "nobody", "--", "true").returncode == 1
    assert box.run("vm", "exec", "box").returncode == 2


def test_a_daemon_that_stops_ends_the_command_and_says_so(tmp_path: Path, box: Installation) -> None:
    with installed(tmp_path) as other:
        other.env["FAKE_AGENT"] = box.env["FAKE_AGENT"]
        other.ok("vm", "create", "--name", "box")
        with begin(other, "--", "sh", "-c", "echo $$; exec sleep 1000") as process:
            pid = int(line(process))
            with other.client() as client:
                answer = client.post("/v1/shutdown", {"if_idle": True})
            assert isinstance(answer, dict)
            assert answer["reason"] == "1 running command(s)"
            other.stop()
            assert process.wait(20) == DaemonError.exit_status
            assert process.stderr
            assert b"the daemon was stopped" in process.stderr.read()
        wait_until(lambda: not alive(pid), 5)


@pytest.mark.parametrize(
    "body",
    [
        {"argv": []},
        {"argv": [""]},
        {"argv": ["a\0b"]},
        {"argv": ["x" * 65000]},
        {"argv": ["\u0100"]},
        {"argv": ["true"], "more": 1},
        {"argv": ["true"], "env": {"A=B": "c\0"}},
        {"argv": ["true"], "terminal": {"rows": -1, "columns": 1}},
    ],
)
def test_a_command_that_cannot_be_is_refused(box: Installation, body: dict[str, object]) -> None:
    from banger.cli.client import vm_path
    from banger.model.errors import BangerError
    from banger.model.exec import Message, pack_message

    with box.client() as client, pytest.raises(BangerError):
        client.duplex(vm_path("box", "/exec"), pack_message(Message.START, json.dumps(body).encode()))
    assert execute(box, "--", "true").returncode == 0


class Terminal:
    """banger at a terminal of its own."""

    def __init__(self, box: Installation, *words: str) -> None:
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (33, 101))
        self.before = termios.tcgetattr(theirs)
        argv = box.argv("vm", "exec", "box", *words)
        env = {**box.env, "TERM": "vt220"}
        self.process = subprocess.Popen(
            argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        self.theirs = theirs
        self.said = ""

    def expect(self, pattern: str, deadline_s: float = 15) -> str:
        end = time.monotonic() + deadline_s
        while not re.search(pattern, self.said):
            assert time.monotonic() < end, self.said
            if select.select([self.ours], [], [], 0.1)[0]:
                self.said += os.read(self.ours, 4096).decode(errors="replace")
        return self.said

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self.theirs, (rows, columns))
        self.process.send_signal(signal.SIGWINCH)

    def close(self) -> int:
        status = self.process.wait(20)
        assert termios.tcgetattr(self.theirs) == self.before
        os.close(self.ours)
        os.close(self.theirs)
        return status


def test_a_terminal_has_size_name_and_job_control(box: Installation) -> None:
    terminal = Terminal(box, "--", "sh", "-i")
    terminal.type("stty size; echo term=$TERM; tty; PS1=\n")
    terminal.expect(r"33 101\s+term=vt220\s+/dev/pts/\d+")
    terminal.resize(20, 50)
    time.sleep(0.3)
    terminal.type("stty size\n")
    terminal.expect(r"20 50\s")
    terminal.type("cat\n")
    time.sleep(0.3)
    terminal.type("\x03")
    time.sleep(0.3)
    terminal.type("echo after=$?\n")
    terminal.expect(r"after=130")
    terminal.type("exit 9\n")
    assert terminal.close() == 9


def test_a_terminal_is_taken_only_if_both_ends_are_one(box: Installation) -> None:
    assert execute(box, "--", "tty").returncode == 1
    assert b"/dev/pts/" in execute(box, "-t", "--", "tty").stdout
    terminal = Terminal(box, "-T", "--", "sh", "-c", "tty; test -t 0 || echo none")
    terminal.expect("none")
    assert terminal.close() == 0


def test_end_of_input_reaches_a_terminal(box: Installation) -> None:
    assert execute(box, "-t", "--", "cat", stdin=b"line\n").returncode == 0


def test_a_terminal_whose_banger_is_killed_hangs_up(box: Installation) -> None:
    terminal = Terminal(box, "--", "sh", "-c", "echo pid=$$; exec sleep 1000")
    found = re.search(r"pid=(\d+)", terminal.expect(r"pid=\d+"))
    assert found
    terminal.process.kill()
    terminal.process.wait()
    wait_until(lambda: not alive(int(found[1])), 5)
    os.close(terminal.ours)
    os.close(terminal.theirs)


@pytest.mark.requirement("CLI-004", "CLI-005", "CLI-015")
def test_vm_run_needs_no_ssh_for_a_command(box: Installation) -> None:
    argv = box.argv("vm", "run", "--rm", "-q", "--name", "deaf-1", "--", "sh", "-c", "cat; exit 42")
    done = subprocess.run(argv, env=box.env, input=b"\0data", capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (42, b"\0data"), done.stderr
    assert "deaf-1" not in box.names()
    request = box.calls("create_vm")[-1]
    assert isinstance(request, dict)
    assert request["wait_ssh"] is False


def test_ctrl_c_ends_the_command_of_vm_run_and_its_vm(box: Installation) -> None:
    words = ("vm", "run", "--rm", "-q", "--name", "brief", "--", "sh", "-c", "echo up; exec sleep 1000")
    with subprocess.Popen(box.argv(*words), env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert line(process) == b"up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    wait_until(lambda: "brief" not in box.names())
