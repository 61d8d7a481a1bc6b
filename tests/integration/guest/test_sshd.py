"""OpenSSH in a Debian guest without systemd: pinned keys, the modes it insists on, and new keys without a restart."""

import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgspec
import pytest

from banger.guest.channel import AgentChannel
from banger.guest.files import GUEST_FILES, REMOVED_GLOBS
from banger.guest.protocol import Network
from banger.host.process import Finished, run
from tests.integration.guest.conftest import Boot, Guest, Keys, make_disk

pytestmark = [pytest.mark.vm, pytest.mark.network, pytest.mark.root, pytest.mark.anyio]
NETWORK = "banger.net=10.0.2.15/24,10.0.2.2,10.0.2.3"


@pytest.fixture(scope="module")
def debian_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the root disk of a small Debian with openssh-server, and banger's files in it."""
    directory = tmp_path_factory.mktemp("debian")
    tree = directory / "tree"
    options = ["--mode=root", "--variant=minbase", "--include=openssh-server", "bookworm"]
    subprocess.run(["mmdebstrap", *options, tree], check=True, capture_output=True)
    for pattern in REMOVED_GLOBS:
        for path in tree.glob(pattern.lstrip("/")):
            path.unlink()
    for file in GUEST_FILES:
        path = tree / file.path.lstrip("/")
        path.unlink(missing_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
    return make_disk(directory / "debian.img", tree, "700M")


@dataclass(frozen=True, slots=True)
class Machine:
    """A guest that has its identity, and how to log in."""

    guest: Guest
    agent: AgentChannel
    keys: Keys

    async def ssh(self, *command: str, host_key: str | None = None) -> Finished:
        known = self.guest.directory / "known_hosts"
        key = host_key or (self.keys.directory / "host.pub").read_text()
        known.write_text(f"[127.0.0.1]:{self.guest.ssh_port} {key}")
        argv = ["ssh", "-F", "none", "-p", str(self.guest.ssh_port), "-i", str(self.keys.directory / "client")]
        argv += ["-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
        return await run([*argv, "-o", "BatchMode=yes", "root@127.0.0.1", *command], deadline_s=30)

    async def output(self, *command: str) -> str:
        return (await self.ssh(*command)).check("command in the guest").stdout.decode()


@pytest.fixture
async def machine(boot: Boot, debian_disk: Path, keys: Keys, tmp_path: Path) -> AsyncIterator[Machine]:
    disk = tmp_path / "root.qcow2"
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(debian_disk), str(disk)]
    (await run(argv, deadline_s=10)).check("make an overlay")
    guest = boot([("root", disk)], parameters=NETWORK)
    async with await guest.agent() as agent:
        await agent.identity(keys.identity())
        await agent.wait_ssh(deadline_s=10)
        yield Machine(guest, agent, keys)


async def test_root_logs_in_with_the_key_to_the_machine_that_was_named(machine: Machine) -> None:
    assert await machine.output("hostname; cat /etc/machine-id") == "box1\n" + "0123456789abcdef" * 2 + "\n"
    modes = await machine.output("stat -c '%a %u:%g' /root /root/.ssh /root/.ssh/authorized_keys")
    assert modes == "755 0:0\n700 0:0\n600 0:0\n"
    assert (await machine.ssh("exit 42")).status == 42
    assert await machine.output("cat /etc/resolv.conf | tail -1") == "nameserver 10.0.2.3\n"
    assert (await machine.agent.healthz()).failure == ""


@pytest.mark.requirement("SSH-004", "SEC-002")
async def test_sshd_keeps_its_strict_modes_and_takes_keys_only(machine: Machine) -> None:
    settings = (await machine.output("/usr/sbin/sshd -T -h /run/banger/ssh_host_ed25519_key")).splitlines()
    for setting in ("strictmodes yes", "permitrootlogin without-password", "passwordauthentication no"):
        assert setting in settings
    assert "kbdinteractiveauthentication no" in settings
    assert "authorizedkeysfile /root/.ssh/authorized_keys" in settings


async def test_another_host_key_is_not_believed(machine: Machine) -> None:
    wrong = await machine.ssh("true", host_key=(machine.keys.directory / "client.pub").read_text())
    assert wrong.status == 255
    assert b"verification failed" in wrong.stderr


async def test_a_new_identity_counts_from_the_next_connection_on(machine: Machine) -> None:
    assert await machine.output("true") == ""
    fresh = machine.guest.directory / "fresh"
    (await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", fresh], deadline_s=10)).check("make a key")
    public = await anyio.Path(f"{fresh}.pub").read_text()
    private = await anyio.Path(fresh).read_text()
    known = machine.keys.identity("box2")
    await machine.agent.identity(msgspec.structs.replace(known, host_key=private, host_public_key=public))
    assert (await machine.ssh("true")).status == 255
    renamed = await machine.ssh("hostname", host_key=public)
    assert renamed.check("ssh").stdout == b"box2\n"


async def test_a_restored_machine_can_be_given_another_address(machine: Machine) -> None:
    network = Network(mac=bytes.fromhex("525400aabbcc"), address="10.0.2.77/24", gateway="10.0.2.2")
    await machine.agent.identity(msgspec.structs.replace(machine.keys.identity(), network=network))
    # QEMU forwards to the first address that it would lease: so the machine must go back to it to be asked.
    back = msgspec.structs.replace(network, address="10.0.2.15/24")
    await machine.agent.identity(msgspec.structs.replace(machine.keys.identity(), network=back))
    assert await machine.output("cat /sys/class/net/eth0/address") == "52:54:00:aa:bb:cc\n"
    routes = await machine.output("cat /proc/net/route")
    assert "eth0\t00000000\t0202000A" in routes


async def test_an_agent_that_is_killed_comes_back_and_knows_how_things_are(machine: Machine) -> None:
    await machine.output("for p in /proc/[0-9]*; do grep -qs banger-agent $p/comm && kill -9 ${p#/proc/}; done; true")
    await machine.agent.hello(deadline_s=10)
    health = await machine.agent.healthz()
    assert health.ssh == "listening"
    assert health.stages_ns.identity
    assert "banger-init: the agent ended" in machine.guest.console()


async def test_an_agent_without_a_host_sleeps(machine: Machine) -> None:
    await machine.agent.aclose()
    switches = (
        "cat $(grep -ls banger-agent /proc/[0-9]*/comm | sed s/comm/status/) | awk '/ctxt/ {n += $2} END {print n}'"
    )
    before, after = (await machine.output(f"{switches}; sleep 3; {switches}")).split()
    assert int(after) - int(before) < 20
    async with await machine.guest.agent() as agent:
        await agent.healthz(deadline_s=2)


async def test_orphans_are_reaped_and_leave_no_zombies(machine: Machine) -> None:
    await machine.output("(setsid sh -c 'sleep 0.1 & exec sleep 0.2' &) ; sleep 0.6")
    assert await machine.output("grep -ls '^State:.*zombie' /proc/[0-9]*/status || true") == ""


async def test_devices_and_filesystems_that_programs_expect_are_there(machine: Machine) -> None:
    await machine.output("test -e /dev/fd/0 && touch /dev/shm/x && test -e /sys/fs/cgroup/cgroup.procs")
    assert await machine.output("readlink /proc/1/root; stat -c %a /tmp /run/lock") == "/\n1777\n1777\n"
    assert (await machine.output("script -qec tty /dev/null")).startswith("/dev/pts/")


@pytest.mark.parametrize("signal", ["TERM", "INT", "PWR"])
async def test_a_signal_to_pid_1_powers_off(machine: Machine, signal: str) -> None:
    await machine.ssh(f"kill -{signal} 1")
    assert await anyio.to_thread.run_sync(machine.guest.wait_off) == 0
