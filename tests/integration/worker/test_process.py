"""The worker as a process: what it may do, what is loaded in it, whom it lets in, and what it writes down."""

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.vm.argv import SANDBOX
from banger.worker.serve import MOST_CONNECTIONS
from banger.worker.wire import VERSION, Hello, Refused, decode_reply, encode
from tests.fakes.netlab import OWNER, Lab, Worker, end, open_lab, wait_for

pytestmark = [pytest.mark.root]
A = "a" * 32
NOT_IN_ROOT = {
    *(
        "anyio",
        "asyncio",
        "asyncssh",
        "bz2",
        "click",
        "diskcache",
        "email",
        "fastapi",
        "ftplib",
        "gzip",
        "http",
        "httpx",
    ),
    *("lzma", "multiprocessing", "networkx", "paramiko", "pickle", "pydantic", "requests", "rich", "sqlite3", "ssl"),
    *("subprocess", "tarfile", "typer", "urllib3", "uvicorn", "xml", "zipfile", "zlib", "zstandard"),
}
_SAYS_WHAT_IS_LOADED = """
import sys
from banger.worker.__main__ import main
def look(name):
    if name == "held":
        print(*sorted({name for name in sys.modules}), file=sys.stderr, flush=True)
sys.exit(main(sys.argv[1:], look))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="banger-") as name:  # pytest's own lets no other user through
        directory = Path(name)
        directory.chmod(0o711)
        with open_lab(directory) as lab:
            yield lab


@pytest.fixture(scope="module")
def worker(lab: Lab) -> Worker:
    return lab.start_worker()


@pytest.mark.requirement("SEC-001")
@pytest.mark.requirement("DMN-001")
def test_it_may_administer_the_network_and_nothing_else(worker: Worker) -> None:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{worker.process.pid}/status").read_text().splitlines())
    assert {number for name in ("Uid", "Gid") for number in status[name].split()} == {"61899"}
    assert status["Groups"].split() == []
    assert [int(status[f"Cap{name}"], 16) for name in ("Prm", "Eff", "Bnd", "Inh", "Amb")] == [1 << 12] * 3 + [0, 0]
    assert status["NoNewPrivs"].strip() == "1"
    open_files = [str(file.readlink()) for file in Path(f"/proc/{worker.process.pid}/fd").iterdir()]
    assert {name.split(":")[0] for name in open_files if not name.startswith("/")} <= {"socket", "anon_inode", "pipe"}


def test_its_socket_is_the_owner_s_and_its_state_nobody_else_s(lab: Lab, worker: Worker) -> None:
    assert worker.welcome.seq == 1
    found = lab.socket.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (OWNER, 0o600)
    assert stat.S_IMODE(lab.socket.parent.stat().st_mode) == 0o711
    for file in [lab.directory / "state", *(lab.directory / "state").iterdir()]:
        assert file.stat().st_uid == 61899
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


@pytest.mark.requirement("DMN-008")
def test_a_running_worker_has_loaded_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        argv = lab.worker_argv()
        argv[argv.index("-m") : argv.index("-m") + 2] = ["-c", _SAYS_WHAT_IS_LOADED]
        process = subprocess.Popen(lab.host.argv(*argv), stderr=subprocess.PIPE, text=True)
        lab.stack.callback(end, process)
        assert process.stderr is not None
        assert "serving" in process.stderr.readline()
        client = Worker(lab.socket, process)
        client.bridge(A)
        loaded = set(process.stderr.readline().split())
        client.socket.close()
    assert "banger.worker.net" in loaded
    assert loaded & NOT_IN_ROOT == set()
    assert {name for name in loaded if name.startswith("banger") and not name.startswith("banger.worker")} == {"banger"}


def test_a_second_worker_on_the_same_state_leaves(lab: Lab, worker: Worker) -> None:
    argv = lab.host.argv(*lab.worker_argv())
    done = subprocess.run(argv, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 75
    assert "another worker" in done.stderr
    assert worker.held() == set()


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_state_directory_that_others_could_have_made_is_refused(lab: Lab, tmp_path: Path, mode: int) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    argv = lab.worker_argv()
    argv[-1] = str(tmp_path / "open" / "state")
    done = subprocess.run(lab.host.argv(*argv), stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode
    assert "not root's alone" in done.stderr


def connect(lab: Lab, uid: int) -> bytes:
    """Say hello as another user, who was given the socket by mistake; return what comes back."""
    script = (
        "import os, socket, sys; os.setuid(int(sys.argv[1])); s = socket.socket(socket.AF_UNIX); s.settimeout(5);"
        " s.connect(sys.argv[2]); s.send(bytes.fromhex(sys.argv[3])); sys.stdout.buffer.write(s.recv(999))"
    )
    argv = [sys.executable, "-c", script, str(uid), str(lab.socket), encode(Hello(seq=1, version=VERSION)).hex()]
    return subprocess.run(argv, stdout=subprocess.PIPE, timeout=30, check=False).stdout


def test_only_the_owner_and_root_are_let_in(lab: Lab, worker: Worker) -> None:
    assert worker.held() == set()
    assert b"welcome" in connect(lab, OWNER)
    lab.socket.chmod(0o666)
    assert connect(lab, OWNER + 1) == b""
    lab.socket.chmod(0o600)


@pytest.mark.requirement("SEC-001")
def test_every_request_is_in_the_audit_log_and_so_is_every_refusal(lab: Lab, worker: Worker) -> None:
    log = lab.directory / "state" / "audit"
    seen = len(log.read_text().splitlines())
    worker.tap(A)
    worker.nat("c" * 32)
    worker.release_all(A)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(5)
        stranger.connect(str(lab.socket))
        stranger.sendall(b"GET / HTTP/1.1\r\n")
        assert decode_reply(stranger.recv(999)[4:]) == Refused(seq=0, code="malformed")
        assert stranger.recv(1) == b""
    lines = [json.loads(line) for line in log.read_text().splitlines()[seen:]]
    expected = ["net.bridge", "net.tap", "net.nat", "release", "release", "release", "refused"]
    assert [line["op"] for line in lines] == expected
    assert [line["result"].split()[0] for line in lines] == ["ok", "ok", "order", "ok", "ok", "ok", "malformed"]
    assert {line["uid"] for line in lines} == {0}
    assert {line["pid"] for line in lines} == {os.getpid()}


def test_a_flood_of_connections_and_descriptors_does_nothing_to_who_is_there(lab: Lab, worker: Worker) -> None:
    before = len(os.listdir(f"/proc/{worker.process.pid}/fd"))  # noqa: PTH208 - a count
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(3 * MOST_CONNECTIONS)]
    try:
        for one in crowd:
            one.settimeout(5)
            one.connect(str(lab.socket))
        assert sum(one.recv(1) == b"" for one in crowd[MOST_CONNECTIONS:]) == len(crowd) - MOST_CONNECTIONS
        with Path("/etc/hostname").open("rb") as file:
            socket.send_fds(crowd[0], [encode(Hello(seq=1, version=VERSION))], [file.fileno()] * 100)
        assert b"welcome" in crowd[0].recv(999)
        assert worker.held() == set()
    finally:
        for one in crowd:
            one.close()
    assert worker.held() == set()
    wait_for(lambda: len(os.listdir(f"/proc/{worker.process.pid}/fd")) <= before)  # noqa: PTH208


def test_told_to_end_it_ends_and_what_is_held_stays(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        worker = lab.start_worker()
        worker.tap(A)
        during = lab.host.objects()
        assert worker.stop() == 0
        assert lab.host.objects() == during


def test_a_worker_for_another_network_does_not_move_vms_that_are_there(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        worker = lab.start_worker()
        worker.tap(A)
        during = lab.host.objects()
        worker.stop()
        argv = lab.worker_argv()
        argv[argv.index("--network") + 1] = "10.80.0.0/29"
        done = subprocess.run(lab.host.argv(*argv), stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        assert done.returncode == 78
        assert "VMs are on 172.29.0.0/24" in done.stderr
        assert lab.host.objects() == during
        assert lab.start_worker().held() == {("bridge", A), ("tap", A)}


def test_a_disk_that_is_full_ends_the_worker_before_anything_is_done(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        lab.host.sh(f"mkdir -m 700 {tmp_path}/small; mount -t tmpfs -o size=16k,mode=755 none {tmp_path}/small")
        argv = lab.worker_argv()
        argv[-1] = str(tmp_path / "small" / "state")
        process = subprocess.Popen(lab.host.argv(*argv), stderr=subprocess.PIPE, text=True)
        lab.stack.callback(end, process)
        assert process.stderr is not None
        assert "serving" in process.stderr.readline()
        worker = Worker(lab.socket, process)
        before = lab.host.objects()
        lab.host.sh(f"head -c 1M /dev/zero > {tmp_path}/small/full || true")
        with contextlib.suppress(AssertionError, OSError):
            for number in range(200):
                worker.bridge(f"{number:032x}")
                worker.release("bridge", f"{number:032x}")
        worker.socket.close()
        assert process.wait(20) == 74
        assert "nothing can be written down" in process.stderr.read()
        lab.host.sh(f"rm {tmp_path}/small/full")
        process = subprocess.Popen(lab.host.argv(*argv), stderr=subprocess.PIPE, text=True)
        lab.stack.callback(end, process)
        assert process.stderr is not None
        assert "serving" in process.stderr.readline()
        again = Worker(lab.socket, process)
        lab.stack.callback(again.socket.close)
        for _, vm in again.held():
            again.release("bridge", vm)
        assert lab.host.objects() == before


def vmm(lab: Lab, tap: str, uid: int) -> "subprocess.Popen[str]":
    """A QEMU of some user's that has a TAP and runs nothing."""
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-M", "none", "-S"]
    argv += ["-sandbox", SANDBOX, "-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no,vnet_hdr=off"]
    become = ["setpriv", f"--reuid={uid}", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
    return subprocess.Popen(lab.host.argv(*become, *argv), stderr=subprocess.PIPE, text=True)


@pytest.mark.requirement("DMN-002")
@pytest.mark.requirement("NET-001")
def test_the_owner_s_vmm_needs_no_privilege_to_use_its_tap_and_nobody_else_s_can(lab: Lab, worker: Worker) -> None:
    tap = worker.tap(A).tap
    stranger = vmm(lab, tap, OWNER + 1)
    assert stranger.wait(20) != 0
    assert stranger.stderr is not None
    assert "Operation not permitted" in stranger.stderr.read()
    stranger.stderr.close()
    owner = vmm(lab, tap, OWNER)
    try:
        wait_for(lambda: "LOWER_UP" in lab.host.sh(f"ip link show {tap}"))
        assert owner.poll() is None
    finally:
        end(owner)
    worker.release_all(A)
