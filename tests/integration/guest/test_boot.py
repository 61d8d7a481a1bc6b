"""A guest boots from our initramfs and any ext4 root: agent, network, disks, SSH port and power-off are as promised."""

import socket
import subprocess
from pathlib import Path

import pytest

from banger.guest.channel import AgentRefusalError
from banger.guest.frames import Frame, encode_frame
from banger.guest.kernel import extract_vmlinux, kernel_release
from banger.guest.protocol import Request, SshState
from tests.integration.guest.conftest import Boot, Guest, Kernel, Keys, make_disk

pytestmark = [pytest.mark.vm, pytest.mark.network, pytest.mark.anyio]
NETWORK = "banger.net=10.0.2.15/24,10.0.2.2,10.0.2.3"


def debugfs(disk: Path, request: str) -> str:
    return subprocess.run(["debugfs", "-R", request, disk], check=True, capture_output=True, text=True).stdout


def is_clean(disk: Path) -> bool:
    features = subprocess.run(["dumpe2fs", "-h", disk], check=True, capture_output=True, text=True).stdout
    return "needs_recovery" not in features and "Filesystem state:         clean" in features


def holds(disk: Path, needle: bytes) -> bool:
    return needle in disk.read_bytes()


def give_away(disk: Path) -> None:
    """Make the root directory of a disk somebody else's."""
    subprocess.run(["debugfs", "-w", "-R", "set_inode_field / uid 1000", disk], check=True, capture_output=True)


def send_raw(guest: Guest, data: bytes) -> None:
    """Be a host that dies in the middle of what it says."""
    with socket.socket(socket.AF_UNIX) as port:
        port.connect(str(guest.directory / "agent.sock"))
        port.sendall(data)


@pytest.mark.requirement("AGT-006")
async def test_a_guest_boots_gets_an_identity_and_powers_off(boot: Boot, root_disk: Path, keys: Keys) -> None:
    guest = boot([("root", root_disk)], parameters=NETWORK)
    async with await guest.agent() as agent:
        health = await agent.healthz()
        assert (health.failure, health.ssh) == ("", SshState.OFF), guest.console()
        await agent.identity(keys.identity())
        await agent.wait_ssh(deadline_s=10)
        health = await agent.healthz()
        assert health.network_up
        order = [getattr(health.stages_ns, name) for name in health.stages_ns.__struct_fields__]
        assert order == sorted(order)
        with socket.create_connection(("127.0.0.1", guest.ssh_port), timeout=10) as connection:
            assert connection.recv(100) == b"SSH-2.0-fake\r\n"
            assert ("::", 22, 1) in [(one.address, one.port, one.pid) for one in (await agent.ports()).listeners]
            # The fake sshd of this connection ignores SIGTERM: it must be killed, and not hold up the power-off.
            await agent.shutdown(power_off_s=0.5)
            assert guest.wait_off() == 0
    assert "some programs did not end in time" in guest.console()
    assert is_clean(root_disk)
    assert debugfs(root_disk, "cat /etc/hostname") == "box1\n"
    assert "127.0.1.1\tbox1\n" in debugfs(root_disk, "cat /etc/hosts")
    assert "nameserver 10.0.2.3\n" in debugfs(root_disk, "cat /etc/resolv.conf")
    assert debugfs(root_disk, "cat /root/.ssh/authorized_keys") == (keys.directory / "client.pub").read_text()


async def test_the_host_key_never_reaches_a_disk(boot: Boot, root_disk: Path, keys: Keys) -> None:
    guest = boot([("root", root_disk)])
    async with await guest.agent() as agent:
        await agent.identity(keys.identity())
        await agent.sync()
        await agent.shutdown()
        assert guest.wait_off() == 0
    secret = (keys.directory / "host").read_bytes().splitlines()[1]
    assert not holds(root_disk, secret)


async def test_hosts_may_come_and_go_and_die_in_the_middle(boot: Boot, root_disk: Path) -> None:
    guest = boot([("root", root_disk)])
    for _ in range(3):
        async with await guest.agent() as agent:
            await agent.healthz()
        send_raw(guest, encode_frame(Frame(Request.HEALTHZ, 1, b"x" * 3000))[:1500])
        send_raw(guest, b"\xff" * 100_000)
        send_raw(guest, encode_frame(Frame(Request.PORTS, 1)) * 20)
    async with await guest.agent() as agent:
        await agent.healthz(deadline_s=2)


async def test_the_clock_can_be_set(boot: Boot, root_disk: Path) -> None:
    guest = boot([("root", root_disk)])
    wanted_ns = 2_000_000_000_000_000_000
    async with await guest.agent() as agent:
        await agent.set_time(wanted_ns)
        assert 0 <= (await agent.get_time()).time_ns - wanted_ns < 5_000_000_000


async def test_a_missing_root_disk_is_told_and_the_guest_still_powers_off(
    boot: Boot, root_disk: Path, keys: Keys
) -> None:
    guest = boot([("other", root_disk)])
    async with await guest.agent() as agent:
        health = await agent.healthz()
        assert health.failure == 'no disk with serial "root"; there is: vda(other)'
        assert health.stages_ns.root is None
        with pytest.raises(AgentRefusalError, match="no disk with serial"):
            await agent.wait_ssh(deadline_s=60)
        with pytest.raises(AgentRefusalError, match="no root disk"):
            await agent.identity(keys.identity())
        await agent.shutdown()
        assert guest.wait_off() == 0
    assert 'banger-init: no disk with serial "root"' in guest.console()


async def test_a_root_disk_without_a_filesystem_is_told(boot: Boot, tmp_path: Path) -> None:
    (tmp_path / "empty.img").write_bytes(bytes(1 << 20))
    async with await boot([("root", tmp_path / "empty.img")]).agent() as agent:
        assert "mount root disk /dev/vda: " in (await agent.healthz()).failure


@pytest.mark.requirement("DSK-001", "DSK-006", "DSK-009")
async def test_the_work_disk_is_root_s_home_and_keeps_its_keys(
    boot: Boot, root_disk: Path, tmp_path: Path, keys: Keys
) -> None:
    tree = tmp_path / "work-tree"
    (tree / ".ssh").mkdir(parents=True)
    (tree / ".ssh/authorized_keys").write_text("ssh-rsa AAAA me@home\n")
    tree.chmod(0o777)
    (tree / ".ssh").chmod(0o777)
    work = make_disk(tmp_path / "work.img", tree)
    give_away(work)
    guest = boot([("work", work), ("root", root_disk)], parameters="banger.work=work")
    async with await guest.agent() as agent:
        assert (await agent.healthz()).failure == ""
        await agent.identity(keys.identity())
        await agent.shutdown()
        assert guest.wait_off() == 0
    assert is_clean(work)
    assert "User:     0   Group:     0" in debugfs(work, "stat /")
    assert "Mode:  0755" in debugfs(work, "stat /")
    assert "User:     0   Group:     0" in debugfs(work, "stat /.ssh")
    assert "Mode:  0700" in debugfs(work, "stat /.ssh")
    ours = (keys.directory / "client.pub").read_text()
    assert debugfs(work, "cat /.ssh/authorized_keys") == "ssh-rsa AAAA me@home\n" + ours


async def test_a_work_disk_that_was_promised_and_is_missing_is_told(boot: Boot, root_disk: Path) -> None:
    async with await boot([("root", root_disk)], parameters="banger.work=work").agent() as agent:
        assert (await agent.healthz()).failure == "no work disk with serial work"


async def test_the_same_initramfs_boots_on_pci(boot: Boot, root_disk: Path, keys: Keys) -> None:
    guest = boot([("root", root_disk)], parameters=NETWORK, board="q35")
    async with await guest.agent() as agent:
        await agent.identity(keys.identity())
        await agent.wait_ssh(deadline_s=10)
        health = await agent.healthz()
        assert (health.failure, health.network_up) == ("", True)
        await agent.shutdown()
        assert guest.wait_off() == 0


def test_the_kernel_says_its_release_and_gives_its_vmlinux(kernel: Kernel) -> None:
    image = kernel.image.read_bytes()
    assert kernel_release(image) == kernel.modules.name
    vmlinux = extract_vmlinux(image)
    assert vmlinux[:4] == b"\x7fELF"
    assert f"Linux version {kernel.modules.name} ".encode() in vmlinux
