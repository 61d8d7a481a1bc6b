"""The everyday verbs on real guests."""

import json
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from banger.vm.ports import free_port
from tests.real import Banger

pytestmark = [pytest.mark.vm, pytest.mark.network]

SERVER = """
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => shift, Listen => 9, ReuseAddr => 1) or die;
my $inner = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 5432, Listen => 9, ReuseAddr => 1) or die;
print "up\\n"; close STDOUT; close STDERR;
while (my $client = $server->accept) {
    sysread $client, my $request, 4096;
    syswrite $client, "HTTP/1.0 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello";
    close $client;
}
"""


def show(banger: Banger, name: str) -> Any:
    return json.loads(banger.ok("vm", "show", name, "--json"))


def fetch(endpoint: str) -> bytes:
    with urllib.request.urlopen(endpoint, timeout=20) as answer:
        body: bytes = answer.read()
        return body


def serve(banger: Banger, name: str, port: int) -> None:
    """Have a web server run in the guest, in a session of its own."""
    script = 'setsid perl -e "$1" "$2" >/run/up 2>&1 </dev/null & while ! grep -q up /run/up; do sleep 0.1; done'
    banger.ok("vm", "exec", name, "--", "sh", "-c", script, "sh", SERVER, str(port))


@pytest.fixture(scope="module")
def box(banger: Banger) -> str:
    """A VM with a port that is forwarded whenever it runs."""
    banger.published = free_port()  # type: ignore[attr-defined]
    words = ["--vcpu", "1", "--memory", "256M", "--disk-size", "512M", "-p", f"{banger.published}:8080"]  # type: ignore[attr-defined]
    banger.ok("vm", "create", "--name", "box", *words)
    return "box"


@pytest.mark.requirement("DMN-025")
@pytest.mark.requirement("AGT-002")
def test_a_guest_that_is_up_is_healthy_and_measured(banger: Banger, box: str) -> None:
    health = json.loads(banger.ok("vm", "health", box, "--json"))
    assert (health["healthy"], health["network_up"], health["ssh"]) == (True, True, "listening")
    stats = json.loads(banger.ok("vm", "stats", box, "--json"))
    assert stats["problems"] == []
    assert stats["cpu_s"] > 0
    assert 0 < stats["pss_bytes"] <= stats["rss_bytes"]
    assert 128 << 20 < stats["guest"]["memory_bytes"] < 256 << 20
    assert stats["root_bytes"] > 0
    assert stats["work_bytes"] < 512 << 20


@pytest.mark.requirement("AGT-003")
@pytest.mark.requirement("AGT-004")
@pytest.mark.requirement("CLI-034")
@pytest.mark.requirement("CLI-036")
def test_what_listens_in_the_guest_is_reached_at_the_vms_own_address(banger: Banger, box: str) -> None:
    serve(banger, box, 8080)
    address = show(banger, box)["address"]
    listed = {port["port"]: port for port in json.loads(banger.ok("vm", "ports", box, "--json"))["ports"]}
    assert listed[22]["endpoint"]
    assert listed[5432]["note"] == "only inside the VM, at 127.0.0.1:5432"
    assert listed[8080]["protocol"] == "http"
    assert listed[8080]["process"] == "perl"
    assert fetch(listed[8080]["endpoint"]) == b"hello"
    assert fetch(f"http://127.0.0.1:{banger.published}/") == b"hello"  # type: ignore[attr-defined]
    serve_again = banger.ok("vm", "ports", box)
    assert serve_again.splitlines()[0].split() == ["PROTO", "ENDPOINT", "PROCESS", "COMMAND"]
    assert address.startswith("127.")


def test_a_forward_works_until_it_is_removed_and_a_taken_port_is_told(banger: Banger, box: str) -> None:
    port = free_port()
    banger.ok("vm", "forward", box, f"{port}:8080")
    assert fetch(f"http://127.0.0.1:{port}/") == b"hello"
    banger.ok("vm", "forward", box, "--remove", f"{port}:8080")
    with pytest.raises(OSError, match="refused"):
        fetch(f"http://127.0.0.1:{port}/")
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        done = banger.run("vm", "forward", box, f"{taken}:8080")
        assert done.returncode == 1
        assert f"port {taken} of 127.0.0.1 cannot be forwarded: it is in use" in done.stderr
        began = time.monotonic()
        done = banger.run("vm", "create", "--name", "never", "-p", f"{taken}:80")
        assert done.returncode == 1
        assert f"port {taken} of 127.0.0.1 cannot be forwarded" in done.stderr
        assert time.monotonic() - began < 20
    assert [vm["name"] for vm in json.loads(banger.ok("vm", "list", "--json"))] == [box]


def test_files_go_both_ways_whole(banger: Banger, box: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/data").write_bytes(bytes(range(256)) * 4000)
    (tree / "run").write_text("#!/bin/sh\necho ran\n")
    (tree / "run").chmod(0o755)
    (tree / "link").symlink_to("sub/data")
    banger.ok("vm", "cp", str(tree), f"{box}:/root/")
    assert banger.ok("vm", "exec", box, "--", "/root/tree/run") == "ran\n"
    banger.ok("vm", "cp", f"{box}:tree/.", str(tmp_path / "back"))
    assert (tmp_path / "back/sub/data").read_bytes() == (tree / "sub/data").read_bytes()
    assert (tmp_path / "back/link").readlink() == Path("sub/data")
    banger.ok("vm", "cp", f"{box}:/etc/hostname", str(tmp_path / "hostname"))
    assert (tmp_path / "hostname").read_text() == f"{box}\n"


def test_a_running_guest_takes_its_new_name_at_once(banger: Banger, box: str) -> None:
    before = banger.ok("vm", "exec", box, "--", "cat", "/etc/machine-id")
    banger.ok("vm", "rename", box, "renamed")
    assert (
        banger.ok("vm", "exec", "renamed", "--", "cat", "/proc/sys/kernel/hostname", "/etc/hostname") == "renamed\n" * 2
    )
    assert banger.ok("vm", "exec", "renamed", "--", "cat", "/etc/machine-id") == before
    assert banger.ok("vm", "ssh", "renamed", "--", "hostname") == "renamed\n"
    banger.ok("vm", "rename", "renamed", box)


@pytest.mark.requirement("CLI-030")
def test_a_stopped_vm_has_its_new_shape_when_it_starts_and_its_files_still(banger: Banger, box: str) -> None:
    assert "while it is stopped" in banger.run("vm", "set", box, "--vcpu", "2").stderr
    banger.ok("vm", "exec", box, "--", "sh", "-c", "echo kept > /root/kept; sync")
    banger.ok("vm", "stop", box)
    banger.ok("vm", "set", box, "--vcpu", "2", "--memory", "384M", "--disk-size", "1G", "--no-nat")
    assert "cannot become smaller" in banger.run("vm", "set", box, "--disk-size", "512M").stderr
    banger.ok("vm", "start", box)
    script = "nproc; cat /root/kept; df -m /root | tail -1; cat /proc/meminfo; grep -c . /proc/net/route"
    said = banger.ok("vm", "exec", box, "--", "sh", "-c", script).splitlines()
    assert said[:2] == ["2", "kept"]
    assert int(said[2].split()[1]) > 900
    memory = next(int(line.split()[1]) for line in said if line.startswith("MemTotal"))
    assert 300 << 10 < memory < 384 << 10
    out = banger.run("vm", "exec", box, "--", "timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/10.0.2.2/22")
    assert out.returncode != 0
    serve(banger, box, 8080)
    assert fetch(f"http://127.0.0.1:{banger.published}/") == b"hello"  # type: ignore[attr-defined]


def test_restart_boots_anew_and_kill_is_quick(banger: Banger, box: str) -> None:
    boot = banger.ok("vm", "exec", box, "--", "cat", "/proc/sys/kernel/random/boot_id")
    banger.ok("vm", "restart", box)
    assert banger.ok("vm", "exec", box, "--", "cat", "/proc/sys/kernel/random/boot_id") != boot
    began = time.monotonic()
    banger.ok("vm", "kill", box)
    assert time.monotonic() - began < 10
    assert show(banger, box)["state"] == "stopped"


def test_a_guest_whose_agent_does_not_answer_cannot_prevent_its_stop(banger: Banger, box: str) -> None:
    banger.ok("vm", "start", box)
    # The agent is stopped by a shell that is no child of its session, a moment after it has told how this ended.
    script = "(sleep 1; kill -STOP $(pidof banger-agent || cat /run/banger/agent.pid)) >/dev/null 2>&1 &"
    banger.run("vm", "exec", box, "--", "setsid", "sh", "-c", script)
    time.sleep(2.5)
    assert banger.run("vm", "health", box).returncode == 1
    began = time.monotonic()
    assert banger.ok("vm", "stop", box) == f"{box}\n"
    assert time.monotonic() - began < 30
    assert show(banger, box)["state"] == "stopped"
    assert banger.ok("vm", "prune") == f"{box}\n"
