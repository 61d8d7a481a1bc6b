"""Network namespaces as machines: a host with a worker, a LAN beyond it, and guests that are wired to real TAPs.

A namespace lives as long as the process that holds it: nothing of this is left on the machine, whatever happens.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from banger.worker import wire
from banger.worker.tap import _DEVICE, _NO_INFO, _REQUEST, _SET_INTERFACE, _TAP

OWNER = 1000
NETWORK = "172.29.0.0/24"
LAN_ADDRESS, WAY_OUT_ADDRESS = "192.0.2.1", "192.0.2.2"
METADATA_ADDRESS = "169.254.169.254"
_CLONE_NEWNET, _CLONE_NEWNS = 0x40000000, 0x20000
_HOLD = "import sys; print('here', flush=True); sys.stdin.read()"
_SERVE = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])))
print("here", flush=True)
while True:
    connection, peer = server.accept()
    connection.sendall(peer[0].encode())
    connection.close()
"""
_REACH = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as connection:
        print(connection.recv(64).decode())
except OSError as error:
    print("no:", error)
"""
REFUSAL_S = 0.6


class Namespace:
    """A network namespace, with a mount namespace in which /dev/net/tun is for everybody, as udev has it."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        argv = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-c", _HOLD]
        self.holder = self.start(argv, inside=False)
        self.sh(
            "mount -t tmpfs none /mnt && mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun"
            " && mount -t sysfs none /sys && ip link set lo up"
        )

    def argv(self, *words: str) -> list[str]:
        """What runs words in here."""
        return ["nsenter", "--target", str(self.holder.pid), "--net", "--mount", *words]

    def sh(self, script: str) -> str:
        """Run a script in here; return what it printed."""
        return subprocess.run(
            self.argv("sh", "-ec", script), check=True, stdout=subprocess.PIPE, text=True, timeout=30
        ).stdout  # fmt: skip

    def start(self, argv: list[str], *, inside: bool = True) -> subprocess.Popen[str]:
        """Start a process that says a line when it is ready, and ends with the test."""
        process = subprocess.Popen(
            self.argv(*argv) if inside else argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._stack.callback(end, process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    def serve(self, port: int) -> None:
        """Serve TCP on every address: whoever connects is told its own address."""
        self.start([sys.executable, "-c", _SERVE, str(port)])

    def reach(self, address: str, port: int, *, within_s: float = 5.0) -> str | None:
        """Connect; return by which address the other end knows us, or None."""
        argv = self.argv(sys.executable, "-I", "-S", "-c", _REACH, address, str(port), str(within_s))
        said = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=30).stdout.strip()
        return None if said.startswith("no:") else said

    def objects(self) -> str:
        """Links and rules."""
        return self.sh("ip -o link | cut -d: -f2 | cut -d@ -f1 | sort; nft list ruleset; sysctl -a -r 4.*forwarding")


class Guest(Namespace):
    """A Linux of its own, whose eth0 is the other end of a TAP in the host."""

    def __init__(self, stack: contextlib.ExitStack, host: Namespace, attached: wire.Attached) -> None:
        super().__init__(stack)
        self.attached = attached
        here = [str(host.holder.pid), attached.tap, str(self.holder.pid)]
        self.start([sys.executable, "-m", "tests.fakes.netlab", *here], inside=False)
        self.sh(
            f"ip link set eth0 address {attached.mac} up; ip addr add {attached.address}/{attached.prefix} dev eth0;"
            f" ip route add default via {attached.gateway}"
        )


class Lab:
    """A host with a way out into a LAN; a worker once one is started."""

    def __init__(self, stack: contextlib.ExitStack, directory: Path, owner: int) -> None:
        self.stack = stack
        self.owner = owner
        self.directory = directory
        self.host, self.lan = Namespace(stack), Namespace(stack)
        self.host.sh(
            f"ip link add up0 type veth peer name lan0 netns {self.lan.holder.pid} && ip link set up0 up"
            f" && ip addr add {WAY_OUT_ADDRESS}/24 dev up0 && ip route add default via {LAN_ADDRESS}"
        )
        self.lan.sh(
            f"ip link set lan0 up && ip addr add {LAN_ADDRESS}/24 dev lan0 && ip addr add {METADATA_ADDRESS}/32 dev lo"
            f" && ip route add {NETWORK} via {WAY_OUT_ADDRESS}"
        )
        self.socket = directory / "run" / "worker.sock"

    def worker_argv(self) -> list[str]:
        """What starts a worker."""
        return [
            *(sys.executable, "-I", "-m", "banger.worker", "--owner", str(self.owner), "--network", NETWORK),
            *("--socket", str(self.socket), "--state", str(self.directory / "state")),
        ]

    def start_worker(self) -> "Worker":
        """Start one, and return a connection to it."""
        process = subprocess.Popen(self.host.argv(*self.worker_argv()), stderr=subprocess.PIPE, text=True)
        self.stack.callback(end, process)
        assert process.stderr is not None
        line = process.stderr.readline()
        while line and "serving" not in line:
            line = process.stderr.readline()
        assert line, "the worker has ended"
        worker = Worker(self.socket, process)
        self.stack.callback(worker.socket.close)
        return worker

    def guest(self, attached: wire.Attached) -> Guest:
        """Wire a guest to its TAP."""
        return Guest(self.stack, self.host, attached)


class Worker:
    """A client as strict as the worker: one request, one reply."""

    def __init__(self, path: Path, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self._seq = 0
        self.welcome = self.ask(lambda seq: wire.Hello(seq=seq, version=wire.VERSION))

    def ask(self, make: Callable[[int], wire.AnyRequest]) -> wire.AnyReply:
        """Ask one thing."""
        self._seq += 1
        self.socket.sendall(wire.encode(make(self._seq)))
        buffer = bytearray()
        while (body := wire.take_frame(buffer)) is None:
            data = self.socket.recv(65536)
            assert data, "the worker hung up"
            buffer += data
        reply = wire.decode_reply(body)
        assert reply.seq == self._seq
        return reply

    def bridge(self, vm: str) -> wire.AnyReply:
        """Hold the bridge."""
        return self.ask(lambda seq: wire.HoldBridge(seq=seq, vm=vm))

    def tap(self, vm: str) -> wire.Attached:
        """Hold bridge and TAP."""
        assert isinstance(self.bridge(vm), wire.Done)
        reply = self.ask(lambda seq: wire.HoldTap(seq=seq, vm=vm))
        assert isinstance(reply, wire.Attached), reply
        return reply

    def nat(
        self, vm: str, *, egress: bool = False, peers: bool = False, allow: tuple[wire.Destination, ...] = ()
    ) -> wire.AnyReply:
        """Hold the way out."""
        return self.ask(lambda seq: wire.HoldNat(seq=seq, vm=vm, egress=egress, peers=peers, allow=allow))

    def release(self, kind: wire.Kind, vm: str) -> wire.AnyReply:
        """Release one thing."""
        return self.ask(lambda seq: wire.Release(seq=seq, kind=kind, vm=vm))

    def alive(self, kind: wire.Kind, vm: str) -> bool:
        """Probe one thing."""
        reply = self.ask(lambda seq: wire.Probe(seq=seq, kind=kind, vm=vm))
        assert isinstance(reply, wire.Alive)
        return reply.alive

    def release_all(self, *vms: str) -> None:
        """Release everything of some VMs."""
        for vm in vms:
            for kind in ("nat", "tap", "bridge"):
                assert isinstance(self.release(kind, vm), wire.Done)

    def held(self) -> set[tuple[str, str]]:
        """All that is held."""
        reply = self.ask(lambda seq: wire.List(seq=seq))
        assert isinstance(reply, wire.Leases)
        return {(one.kind, one.vm) for one in reply.held}

    def stop(self) -> int:
        """Have the worker end."""
        self.socket.close()
        self.process.terminate()
        return self.process.wait(20)


@contextlib.contextmanager
def open_lab(directory: Path, owner: int = OWNER) -> Iterator[Lab]:
    """A lab, gone with the block."""
    with contextlib.ExitStack() as stack:
        yield Lab(stack, directory, owner)


def end(process: subprocess.Popen[str]) -> None:
    """End a process of ours."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def wait_for(what: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def enter(pid: int) -> None:
    """Go into the network of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    assert libc.setns(descriptor, _CLONE_NEWNET) == 0
    os.close(descriptor)


def open_tap(name: str) -> int:
    """Open a TAP of this network, as a VMM would."""
    import fcntl

    device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(device, _SET_INTERFACE, _REQUEST.pack(name.encode(), _TAP | _NO_INFO))
    return device


def wire_together(host: int, tap: str, guest: int) -> None:
    """Carry frames between a TAP in the host and an eth0 in the guest."""
    import selectors

    enter(host)
    ends = [open_tap(tap)]
    enter(guest)
    ends.append(open_tap("eth0"))
    sys.stdout.write("here\n")
    sys.stdout.flush()
    with selectors.DefaultSelector() as selector:
        for one, other in (ends, ends[::-1]):
            selector.register(one, selectors.EVENT_READ, other)
        while True:
            for key, _ in selector.select():
                with contextlib.suppress(OSError):  # the other end is down: the frame is lost, as on a wire
                    os.write(key.data, os.read(key.fd, 65536))


if __name__ == "__main__":
    wire_together(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
