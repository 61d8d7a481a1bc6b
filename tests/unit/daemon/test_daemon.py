"""The daemon as a process: one a state directory, only for its owner, here when needed and gone when not."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from banger.daemon.address import connect
from banger.model.errors import DaemonError
from banger.model.paths import StatePaths
from tests.fakes.installation import ROOT, Installation, alive, wait_until

NOBODY = 65534


def _daemon(banger: Installation, **env: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "tests.fakes.bangerd"]
    return subprocess.Popen(argv, env=banger.env | env, stderr=subprocess.PIPE, text=True)


def test_eight_commands_at_once_start_one_daemon(banger: Installation) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: banger.run("vm", "list"), range(8)))
    assert [ending.returncode for ending in done] == [0] * 8, [ending.stderr for ending in done]
    assert banger.paths.daemon_log.read_text().count("daemon.started") == 1


def test_a_second_daemon_leaves_quietly(banger: Installation) -> None:
    banger.ok("vm", "list")
    second = _daemon(banger)
    _out, err = second.communicate(timeout=20)
    assert (second.returncode, err) == (75, "")
    banger.ok("vm", "list")


def test_a_socket_that_a_dead_daemon_left_is_replaced(banger: Installation) -> None:
    banger.ok("vm", "list")
    pid = banger.daemon_pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))
    assert banger.paths.socket.exists()
    banger.ok("vm", "list")
    assert banger.daemon_pid() != pid


def test_only_the_owner_can_come_near(banger: Installation) -> None:
    banger.ok("vm", "list")
    assert stat.S_IMODE(banger.state.stat().st_mode) == 0o700
    assert stat.S_IMODE(banger.paths.run_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(banger.paths.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(banger.paths.daemon_log.stat().st_mode) == 0o600


@pytest.mark.root
def test_a_foreign_user_is_refused_even_if_the_directory_lets_it_in(banger: Installation) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    banger.ok("vm", "list")
    run_dir = os.open(banger.paths.run_dir, os.O_PATH | os.O_DIRECTORY)
    os.fchmod(os.open(banger.paths.run_dir, os.O_RDONLY), 0o755)
    banger.paths.socket.chmod(0o666)
    program = (
        "import os, socket, sys; os.setresuid(65534, 65534, 65534);"
        f"s = socket.socket(socket.AF_UNIX); s.connect('/proc/self/fd/{run_dir}/bangerd.sock');"
        "sys.stdout.write(s.recv(4096).decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], pass_fds=[run_dir], capture_output=True, text=True, check=False, timeout=20
    )
    os.close(run_dir)
    banger.paths.run_dir.chmod(0o700)
    assert done.stdout.startswith("HTTP/1.1 403 "), done
    assert f"peer.refused uid={NOBODY}" in banger.paths.daemon_log.read_text()
    banger.ok("vm", "list")


def test_a_directory_that_others_can_enter_is_not_trusted(banger: Installation) -> None:
    banger.ok("vm", "list")
    banger.stop()
    banger.paths.run_dir.chmod(0o755)
    done = banger.run("vm", "list")
    assert done.returncode == 2
    assert "open to other users (mode 0755, not 0700)" in done.stderr
    with pytest.raises(DaemonError):
        connect(banger.paths, 1.0)
    banger.paths.run_dir.chmod(0o700)


def test_a_state_directory_may_have_a_path_longer_than_a_socket_may(banger: Installation, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    banger.paths = StatePaths(deep)
    banger.ok("vm", "list", BANGER_STATE_DIR=str(deep))


@pytest.mark.requirement("DMN-013")
def test_sigterm_cancels_what_is_under_way_and_keeps_the_vms(banger: Installation) -> None:
    banger.ok("vm", "create", "--name", "stays")
    process = banger.begin("vm", "create", "--name", "slow-1")
    wait_until(lambda: banger.calls().count("create_vm") == 2)
    banger.stop()
    _out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "create slow-1: cancelled" in err
    assert "undone" in banger.calls()
    assert banger.names() == ["stays"]
    assert not banger.paths.socket.exists()


def test_a_daemon_that_stops_does_not_delete_the_vms_of_open_sessions(banger: Installation) -> None:
    process = banger.begin("vm", "run", "--rm", "--name", "held", "--ssh", "--", "sleep", "1")
    wait_until(banger.ssh_argv_file.exists)
    banger.stop()
    assert banger.names() == ["held"]
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert banger.names() == []


def test_an_idle_daemon_goes_away_by_itself(banger: Installation) -> None:
    banger.ok("vm", "list", BANGER_DAEMON_IDLE_S="2")  # a busy machine may need one to be heard
    wait_until(lambda: not banger.paths.socket.exists())


def test_a_daemon_with_a_running_vm_stays(banger: Installation) -> None:
    banger.ok("vm", "create", BANGER_DAEMON_IDLE_S="2")  # a busy machine may need one between requests
    time.sleep(3.0)
    assert banger.daemon_pid()


def test_an_idle_daemon_of_another_version_is_replaced(banger: Installation) -> None:
    banger.ok("vm", "list")
    pid = banger.daemon_pid()
    banger.run("vm", "list", FAKE_VERSION="9.9.9")
    assert banger.daemon_pid() not in {pid, None}


def test_a_busy_daemon_of_another_version_is_left_alone(banger: Installation) -> None:
    process = banger.begin("vm", "create", "--name", "slow-1")
    wait_until(lambda: "create_vm" in banger.calls())
    done = banger.run("vm", "list", FAKE_VERSION="9.9.9")
    assert done.returncode == 2
    assert "it is busy: create slow-1" in done.stderr
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=20)


def test_a_daemon_that_cannot_start_says_why(banger: Installation) -> None:
    banger.state.write_text("in the way")
    done = banger.run("vm", "list")
    assert done.returncode == 2
    assert "exists" in done.stderr or "Not a directory" in done.stderr
    banger.state.unlink()


def test_the_environment_of_the_first_command_does_not_leak_into_the_daemon(banger: Installation) -> None:
    banger.ok("vm", "list", SSH_AUTH_SOCK="/tmp/agent", AWS_SECRET_ACCESS_KEY="x")
    environment = Path(f"/proc/{banger.daemon_pid()}/environ").read_bytes()
    assert b"SSH_AUTH_SOCK" not in environment
    assert b"AWS_SECRET" not in environment


def _raw(banger: Installation, request: bytes) -> bytes:
    connection = connect(banger.paths, 5.0)
    assert connection
    with connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65536):
            answer += data
            head, _, rest = answer.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: ([0-9]+)", head, re.IGNORECASE)
            if length and len(rest) >= int(length[1]):
                return answer
    return answer


REFUSED = [
    ({"vm": {}}, b"body.vm.sizes: Field required"),
    ({"vm": {"sizes": {"vcpus": "2", "memory_mib": 512, "disk_bytes": 1 << 30}}}, b"valid integer"),
    ({"vm": {"sizes": {"vcpus": 99, "memory_mib": 512, "disk_bytes": 1 << 30}}}, b"less than or equal to 32"),
    ({"vm": {"sizes": {"vcpus": 2, "memory_mib": 512, "disk_bytes": 1 << 30}, "nap": True}}, b"body.vm.nap: Extra"),
    ({"vm": {"sizes": {"vcpus": 2, "memory_mib": 512, "disk_bytes": 1 << 30}, "name": "a\n"}}, b"body.vm.name"),
    (
        {"vm": {"sizes": {"vcpus": 2, "memory_mib": 512, "disk_bytes": 1 << 30}, "workspace": {"path": "x"}}},
        b"body.vm.workspace.path",
    ),
]


@pytest.mark.parametrize(("body", "reason"), REFUSED)
def test_a_request_that_is_not_exactly_right_is_refused(shared: Installation, body: object, reason: bytes) -> None:
    shared.ok("vm", "list")
    data = json.dumps(body).encode()
    head = b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    answer = _raw(shared, head % len(data) + data)
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert reason in answer
    assert "create_vm" not in shared.calls()


def test_a_body_that_is_too_long_is_refused_though_its_length_is_not_told(shared: Installation) -> None:
    shared.ok("vm", "list")
    head = b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = _raw(shared, head + b"20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 422 ", b"HTTP/1.1 400 "))


def test_headers_that_are_too_long_are_refused(shared: Installation) -> None:
    shared.ok("vm", "list")
    try:
        answer = _raw(shared, b"GET /v1/vms HTTP/1.1\r\nX: " + b"x" * 100_000)
    except (ConnectionResetError, BrokenPipeError):
        answer = b"HTTP/1.1 400 "
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.requirement("DMN-013")
def test_an_operation_can_be_followed_again_from_its_start(shared: Installation) -> None:
    shared.ok("vm", "list")
    with shared.client() as client:
        body = {"vm": {"sizes": {"vcpus": 2, "memory_mib": 512, "disk_bytes": 1 << 30}}, "attached": False}
        operation = client.post("/v1/vms", body)
        assert isinstance(operation, dict)
        first = list(client.stream(f"/v1/operations/{operation['id']}/events", 5.0))
        again = list(client.stream(f"/v1/operations/{operation['id']}/events", 5.0))
    assert first == again
    assert first[0]["event"] == "plan"
    assert first[-1]["event"] == "result"


def test_the_api_is_as_docs_openapi_json_says(shared: Installation) -> None:
    golden = ROOT / "docs" / "openapi.json"
    shared.ok("vm", "list")
    with shared.client() as client:
        text = json.dumps(client.get("/v1/openapi.json"), indent=1, sort_keys=True) + "\n"
    if os.environ.get("BANGER_UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.requirement("CLI-001")
def test_a_port_is_nowhere_open(shared: Installation) -> None:
    shared.ok("vm", "list")
    links = [str(entry.readlink()) for entry in Path(f"/proc/{shared.daemon_pid()}/fd").iterdir()]
    sockets = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    assert not any(line.split()[9] in sockets for line in listening.splitlines()[1:] if len(line.split()) > 9)
