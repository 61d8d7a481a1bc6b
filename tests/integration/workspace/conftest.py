"""A real OpenSSH server on loopback, in a mount namespace of its own in which /root is a directory of the test."""

import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_READY_S = 10.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens, what it calls /root, and the directory with the key pairs `client` and `host`."""

    port: int
    root: Path
    keys: Path

    @property
    def host_key(self) -> str:
        return (self.keys / "host.pub").read_text().strip()


@pytest.fixture(scope="session")
def sshd_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack Debian's sshd without installing it: that would start one."""
    folder = tmp_path_factory.mktemp("sshd")
    argv = ["apt-get", "download", "-q", "openssh-server", "libwrap0"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder / "tree"], check=True)
    return folder / "tree"


@pytest.fixture
def server(sshd_tree: Path, tmp_path: Path) -> Iterator[Server]:
    keys, root = tmp_path / "keys", tmp_path / "guest-root"
    for folder in (keys, root):
        folder.mkdir()
    for name in ("client", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen(["unshare", "-m", "sh", "-c", _script(sshd_tree, tmp_path, port)])
    try:
        _wait(port)
        yield Server(port, root, keys)
    finally:
        process.terminate()
        process.wait()


def _script(sshd_tree: Path, folder: Path, port: int) -> str:
    """Return what sets the place up and becomes sshd: a user `sshd`, /run and /root of our own."""
    (folder / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n")
    (folder / "config").write_text("")
    options = {
        "Port": str(port),
        "ListenAddress": "127.0.0.1",
        "HostKey": str(folder / "keys/host"),
        "AuthorizedKeysFile": str(folder / "keys/client.pub"),
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
    }
    words = [str(sshd_tree / "usr/sbin/sshd"), "-D", "-f", str(folder / "config")]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    libraries = next(sshd_tree.rglob("libwrap.so.0")).parent
    return f"""
set -e
mount --make-rprivate /
mount --bind {shlex.quote(str(folder / "passwd"))} /etc/passwd
mount -t tmpfs none /run
mkdir /run/sshd
mount --bind {shlex.quote(str(folder / "guest-root"))} /root
export LD_LIBRARY_PATH={shlex.quote(str(libraries))}
exec {shlex.join(words)}
"""


def _wait(port: int) -> None:
    for _ in range(int(_READY_S / 0.05)):
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("sshd does not listen")
