"""Debian's cloud kernel, and an initramfs whose only program says that it runs and reboots."""

import os
import subprocess
from pathlib import Path

import pytest

INIT_SOURCE = r"""
static long call(long number, long a, long b, long c)
{
    long result;
    register long d __asm__("r10") = 0;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(d) : "rcx", "r11", "memory");
    return result;
}
void _start(void)
{
    static const char words[] = "the first program runs\n";
    call(1, 1, (long)words, sizeof words - 1);     /* write */
    call(169, 0xfee1dead, 672274793, 0x01234567);  /* reboot, LINUX_REBOOT_CMD_RESTART */
    for (;;)
        ;
}
"""


def _member(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One member of a newc archive (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""
    encoded = name.encode() + b"\0"
    fields = (1, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


@pytest.fixture(scope="session")
def initramfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("initramfs")
    argv = ["gcc", "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-xc", "-"]
    subprocess.run([*argv, "-o", folder / "init"], input=INIT_SOURCE, text=True, check=True)
    members = [
        _member("dev", 0o40755),
        _member("dev/console", 0o20600, device=(5, 1)),
        _member("init", 0o100755, (folder / "init").read_bytes()),
        _member("TRAILER!!!", 0),
    ]
    (folder / "initramfs").write_bytes(b"".join(members))
    return folder / "initramfs"


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest of Debian's cloud kernels, unpacked and not installed."""
    folder = tmp_path_factory.mktemp("kernel")
    asked = ["apt-cache", "depends", "linux-image-cloud-amd64"]
    depends = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    name = depends.partition("Depends: ")[2].split()[0]
    # apt-get fetches as the user _apt where it can, which cannot write here: it says so and fetches as itself.
    subprocess.run(["apt-get", "-q", "download", name], cwd=folder, check=True, env=os.environ, capture_output=True)
    subprocess.run(["dpkg-deb", "-x", next(folder.glob("*.deb")), folder], check=True)
    return next((folder / "boot").glob("vmlinuz-*"))
