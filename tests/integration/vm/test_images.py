"""VMs of container images: what a registry has boots, is shared, gets SSH once, and is not deleted under a VM."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.images import Image, digest
from tests.fakes.registryd import registry, upload
from tests.real import Banger

pytestmark = pytest.mark.vm
SHAPE = ("--vcpu", "1", "--memory", "512", "--disk-size", "1G")
BUSYBOX = Path("/bin/busybox")
OS_RELEASE = b'ID=tiny\nID_LIKE="alpine"\nPRETTY_NAME="Tiny 1"\n'
# Stands in for a package manager: it needs the network to be up, writes where packages write, and leaves a trace.
APK = b"""#!/bin/sh
set -e
test "$1" = add
ifconfig eth0 | grep -q 10.0.2.15
grep -q nameserver /etc/resolv.conf
cp /usr/bin/not-yet-sshd /usr/sbin/sshd
echo key >/etc/ssh/ssh_host_rsa_key
date >>/var/installed
"""


def entry(
    name: str, content: bytes = b"", *, mode: int = 0o755, link: str | None = None
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode, info.size = mode, len(content)
    if link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, link
    elif name.endswith("/"):
        info.type = tarfile.DIRTYPE
    return info, content


def layer(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def image_of(*tars: bytes) -> Image:
    import gzip

    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in tars]},
    }
    return Image([gzip.compress(tar, 1, mtime=0) for tar in tars], config).seal()


def busybox_layer() -> bytes:
    applets = ("sh", "cat", "ls", "cp", "grep", "date", "ifconfig", "test", "rm", "mkdir", "mv", "sync", "stat", "id")
    return layer(
        entry("bin/"),
        entry("bin/busybox", BUSYBOX.read_bytes()),
        *(entry(f"bin/{name}", link="busybox") for name in applets),
        entry("etc/"),
        entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", mode=0o644),
        entry("etc/group", b"root:x:0:\n", mode=0o644),
        entry("root/"),
        entry("root/.profile", b"echo from the image\n", mode=0o644),
        entry("doomed", b"below\n", mode=0o644),
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    base = busybox_layer()
    sshd = tmp_path_factory.mktemp("sshd") / "sshd"
    source = Path(__file__).parents[1] / "guest" / "fake_sshd.c"
    subprocess.run(["gcc", "-static", "-O1", "-o", sshd, source], check=True)
    top = layer(
        entry(".wh.doomed"),
        entry("etc/os-release", OS_RELEASE, mode=0o644),
        entry("var/"),
        entry("usr/sbin/"),
        entry("sbin/"),
        entry("sbin/apk", APK),
        entry("usr/bin/not-yet-sshd", sshd.read_bytes()),
    )
    with registry(tmp_path_factory.mktemp("registry")) as host:
        upload(host, "tiny/bare", image_of(base), "1")
        upload(host, "tiny/system", image_of(base, top), "1")
        yield host


def shell(banger: Banger, name: str, script: str) -> str:
    return banger.ok("vm", "exec", name, "--", "/bin/sh", "-c", script)


@pytest.mark.requirement("IMG-011", "IMG-016")
def test_an_image_of_a_registry_boots_and_runs_a_command_without_any_ssh(banger: Banger, host: str) -> None:
    script = "cat /root/.profile; ls -ld /doomed /root; stat -c %a /root; id -u; cat /etc/passwd"
    done = banger.run("vm", "run", "--rm", "--image", f"{host}/tiny/bare:1", *SHAPE, "--", "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert "from the image" in done.stdout
    assert "/doomed" in done.stdout
    view = json.loads(banger.ok("image", "show", "bare-1", "--json"))
    assert (view["has_ssh"], view["provisioned"], view["vms"]) == (False, False, [])


@pytest.mark.requirement("IMG-021")
def test_an_image_that_says_nothing_of_itself_can_be_pulled_and_a_shell_in_it_is_refused_early(
    banger: Banger, host: str
) -> None:
    done = banger.run("image", "pull", f"{host}/tiny/bare:1")
    assert done.stdout == "bare-1\n"
    assert "has no SSH" in done.stderr
    done = banger.run("vm", "create", "--image", "bare-1", *SHAPE)
    assert done.returncode == 1
    assert "-- COMMAND, which needs none" in done.stderr
    assert json.loads(banger.ok("vm", "list", "--json")) == []


@pytest.mark.requirement("IMG-020", "IMG-032")
def test_ssh_is_installed_once_for_all_vms_of_an_image_and_a_used_image_cannot_be_deleted(
    banger: Banger, host: str
) -> None:
    ref = f"{host}/tiny/system:1"
    banger.ok("vm", "create", "--name", "first", "--image", ref, *SHAPE)
    banger.ok("vm", "create", "--name", "second", "--image", "system-1", *SHAPE)
    try:
        runs = [row["what"] for row in json.loads(banger.ok("runs", "ls", "--json"))]
        assert runs.count("image.provision") == 1
        seen = [
            shell(banger, name, "cat /var/installed; ls /etc/ssh; ls /doomed 2>&1; true")
            for name in ("first", "second")
        ]
        assert seen[0] == seen[1]  # the installation left one date, and no host key
        assert "ssh_host_rsa_key" not in seen[0]
        assert "No such file" in seen[0]
        view = json.loads(banger.ok("image", "show", "system-1", "--json"))
        assert (view["provisioned"], view["has_ssh"], sorted(view["vms"])) == (True, True, ["first", "second"])
        done = banger.run("image", "delete", "system-1")
        assert done.returncode == 1
        assert "used by VMs first, second" in done.stderr
        assert banger.ok("image", "pull", ref, "--quiet") == "system-1\n"
        assert [row["what"] for row in json.loads(banger.ok("runs", "ls", "--json"))].count("image.provision") == 1
    finally:
        banger.ok("vm", "delete", "first", "second")
    assert "deleted" in banger.ok("image", "delete", "system-1")


def test_an_installation_that_fails_is_told_and_leaves_the_image_to_be_used_without(
    banger: Banger, host: str, tmp_path: Path
) -> None:
    broken = layer(
        entry("sbin/"),
        entry("sbin/apk", b"#!/bin/sh\necho the archive is closed >&2\nexit 7\n"),
        entry("etc/os-release", OS_RELEASE),
    )
    upload(host, "tiny/broken", image_of(busybox_layer(), broken), "1")
    done = banger.run("image", "pull", f"{host}/tiny/broken:1")
    assert done.returncode == 1
    assert "status 7" in done.stderr
    assert "the archive is closed" in done.stderr
    assert banger.ok("vm", "run", "--rm", "--image", "broken-1", *SHAPE, "--", "/bin/cat", "/etc/hostname")
    banger.ok("image", "delete", "broken-1")
