"""A stock Debian image as others publish it: no sshd, no init. One pull makes it a machine with SSH for all its VMs."""

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from tests.fakes.images import Image, digest
from tests.fakes.registryd import registry, upload
from tests.real import Banger

pytestmark = [pytest.mark.vm, pytest.mark.network, pytest.mark.nightly, pytest.mark.timeout(1800)]
SHAPE = ("--vcpu", "2", "--memory", "1024", "--disk-size", "1G")


def debian(folder: Path) -> Image:
    """What `debian:bookworm` is: Essential and apt."""
    tar = folder / "debian.tar"
    argv = ["mmdebstrap", "-q", "--variant=minbase", "--aptopt=Apt::Install-Recommends false", "bookworm", str(tar)]
    subprocess.run(argv, check=True, timeout=600)
    data = tar.read_bytes()
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(data)]}}
    return Image([gzip.compress(data, 6, mtime=0)], config).seal()


@pytest.mark.requirement("IMG-020", "IMG-022", "IMG-023")
def test_a_stock_debian_image_becomes_a_machine_with_ssh_and_is_provisioned_once(
    banger: Banger, tmp_path: Path
) -> None:
    with registry(tmp_path / "registry") as host:
        upload(host, "library/debian", debian(tmp_path), "bookworm")
        mirror = {"BANGER_REGISTRY_MIRRORS": f"docker.io=http://{host}"}
        banger.stop()
        assert banger.ok("image", "pull", "debian:bookworm", "--quiet", **mirror) == "debian-bookworm\n"
        banger.stop()
    # From here on there is no registry any more.
    view = json.loads(banger.ok("image", "show", "debian-bookworm", "--json"))
    assert (view["provisioned"], view["has_ssh"]) == (True, True)
    assert view["system"].startswith("Debian GNU/Linux 12")
    for name in ("first", "second"):
        banger.ok("vm", "create", "--name", name, "--image", "debian-bookworm", *SHAPE)
    try:
        said = banger.ok("vm", "ssh", "first", "--", "id -u; cat /etc/debian_version; ls /etc/ssh; cat /etc/hostname")
        assert said.splitlines()[0] == "0"
        assert "ssh_host" not in said
        keys = [
            banger.ok("vm", "ssh", name, "--", "cat /run/banger/ssh_host_ed25519_key.pub")
            for name in ("first", "second")
        ]
        assert keys[0] != keys[1]
        runs = [row["what"] for row in json.loads(banger.ok("runs", "ls", "--json"))]
        assert runs.count("image.provision") == 1
    finally:
        banger.ok("vm", "delete", "first", "second")
