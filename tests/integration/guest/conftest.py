"""Real guests under QEMU: Debian's cloud kernel, our initramfs, and disks that a test makes."""

import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from banger.guest.channel import AgentChannel
from banger.guest.initramfs import ModuleTree, build_initramfs, collect_modules
from banger.guest.protocol import Identity
from banger.vm.tsc import host_tsc_khz

PROJECT = Path(__file__).parents[3]
BOOT_DEADLINE_S = 60.0
OFF_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel package."""

    image: Path
    modules: Path


@dataclass(frozen=True, slots=True)
class Guest:
    """A QEMU that runs, and where to reach it."""

    process: "subprocess.Popen[bytes]"
    directory: Path
    ssh_port: int

    async def agent(self) -> AgentChannel:
        return await AgentChannel.connect(self.directory / "agent.sock", deadline_s=BOOT_DEADLINE_S)

    def console(self) -> str:
        return (self.directory / "console.log").read_text(errors="replace")

    def wait_off(self) -> int:
        return self.process.wait(OFF_DEADLINE_S)


@dataclass(frozen=True, slots=True)
class Keys:
    """A host key and a client key, made for one test session."""

    directory: Path

    def identity(self, hostname: str = "box1") -> Identity:
        return Identity(
            hostname=hostname,
            host_key=(self.directory / "host").read_text(),
            host_public_key=(self.directory / "host.pub").read_text(),
            authorized_key=(self.directory / "client.pub").read_text(),
            seed=b"0123456789abcdef" * 4,
            machine_id="0123456789abcdef" * 2,
        )


Boot = Callable[..., Guest]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    directory = tmp_path_factory.mktemp("keys")
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    return Keys(directory)


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """Fetch the kernel that `linux-image-cloud-amd64` stands for today; nothing is installed."""
    directory = tmp_path_factory.mktemp("kernel")
    depends = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"], check=True, capture_output=True, text=True
    ).stdout
    package = next(
        word for word in depends.split() if word.startswith("linux-image-") and word.endswith("-cloud-amd64")
    )
    if package == "linux-image-cloud-amd64":
        package = next(line.split()[1] for line in depends.splitlines() if "Depends: linux-image-" in line)
    subprocess.run(["apt-get", "download", "-q", package], cwd=directory, check=True, capture_output=True)
    (archive,) = directory.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, directory / "tree"], check=True)
    (image,) = (directory / "tree/boot").glob("vmlinuz-*")
    (modules,) = (directory / "tree/lib/modules").iterdir()
    return Kernel(image, modules)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the guest programs, and the stand-in for sshd."""
    out = tmp_path_factory.mktemp("programs")
    subprocess.run(["make", "-s", "-C", PROJECT / "banger/guest/src", f"OUT={out}"], check=True)
    source = Path(__file__).with_name("fake_sshd.c")
    subprocess.run(["musl-gcc", "-static", "-Os", "-o", out / "bin/sshd", source], check=True)
    return out / "bin"


@pytest.fixture(scope="session")
def initramfs(tmp_path_factory: pytest.TempPathFactory, kernel: Kernel, programs: Path) -> Path:
    path = tmp_path_factory.mktemp("initramfs") / "initramfs.cpio"
    path.write_bytes(
        build_initramfs(
            collect_modules(ModuleTree(kernel.modules)),
            init=(programs / "banger-init").read_bytes(),
            agent=(programs / "banger-agent").read_bytes(),
        )
    )
    return path


def make_disk(path: Path, tree: Path, size: str = "16M") -> Path:
    """Make an ext4 disk that holds a directory tree."""
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, path, size], check=True, capture_output=True)
    return path


@pytest.fixture
def root_disk(tmp_path: Path, programs: Path) -> Path:
    """Make the least root disk: an sshd that is none, and /etc. Everything else is banger's to bring."""
    tree = tmp_path / "root-tree"
    (tree / "usr/sbin").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    (tree / "usr/sbin/sshd").write_bytes((programs / "sshd").read_bytes())
    (tree / "usr/sbin/sshd").chmod(0o755)
    return make_disk(tmp_path / "root.img", tree)


@pytest.fixture
def boot(tmp_path: Path, kernel: Kernel, initramfs: Path) -> Iterator[Boot]:
    """Return a function that starts a guest with these disks (serial and file); it is killed at the end."""
    guests: list[Guest] = []

    def start(disks: Sequence[tuple[str, Path]], *, parameters: str = "", board: str | None = None) -> Guest:
        directory = tmp_path / f"guest{len(guests)}"
        directory.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        argv = qemu(kernel, initramfs, disks, parameters=parameters, port=port, board=board)
        process = subprocess.Popen(argv, cwd=directory, stdin=subprocess.DEVNULL)
        guests.append(Guest(process, directory, port))
        return guests[-1]

    yield start
    for guest in guests:
        guest.process.kill()
        guest.process.wait()


def qemu(
    kernel: Kernel,
    initramfs: Path,
    disks: Sequence[tuple[str, Path]],
    *,
    parameters: str,
    port: int,
    board: str | None,
) -> list[str]:
    """Return QEMU's argv, as banger's own, but short."""
    tsc = host_tsc_khz()
    board = board or ("microvm" if tsc else "q35")
    bus = "device" if board == "microvm" else "pci"
    clock = f"tsc_early_khz={tsc} tsc=reliable" if tsc else ""
    line = f"console=ttyS0 quiet panic=-1 reboot=t mitigations=off cryptomgr.notests {clock} {parameters}"
    argv = ["qemu-system-x86_64", "-M", board, "-accel", "tcg", "-cpu", "max", "-m", "256", "-no-reboot"]
    argv += ["-nodefaults", "-no-user-config", "-display", "none", "-serial", "file:console.log"]
    argv += ["-kernel", str(kernel.image), "-initrd", str(initramfs), "-append", line]
    argv += ["-chardev", "socket,id=agent,path=agent.sock,server=on,wait=off", "-device", f"virtio-serial-{bus}"]
    argv += ["-device", "virtserialport,chardev=agent,name=org.banger.agent.0", "-device", f"virtio-rng-{bus}"]
    argv += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", f"virtio-net-{bus},netdev=net"]
    for serial, file in disks:
        kind = "qcow2" if file.suffix == ".qcow2" else "raw"
        argv += ["-drive", f"id={serial},if=none,format={kind},file={file}"]
        argv += ["-device", f"virtio-blk-{bus},drive={serial},serial={serial}"]
    return argv
