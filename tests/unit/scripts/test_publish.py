"""The scripts that publish kernels and images: what they pack, upload, look at and write, against a store on loopback.

The store is a directory; `rclone` is a stand-in that copies into it, and a real HTTP server shows what is there.
"""

import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from banger.kernels.bundle import unpack_bundle
from banger.kernels.catalog import read_catalog
from tests.fakes.kernel_files import BUILT, MODULES, RELEASE, modules_directory, vmlinux

ROOT = Path(__file__).parents[3]
RCLONE = """#!/bin/sh
set -eu
echo "$@" >> "$FAKE_STORE/../rclone.log"
[ "$1" = copyto ]
[ -z "${FAKE_LOSS:-}" ] || exit 0
dest="$FAKE_STORE/${3#remote:bucket/}"
mkdir -p "$(dirname "$dest")"
cp "$2" "$dest"
"""


class Silent(SimpleHTTPRequestHandler):
    """Serves a directory and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@dataclass
class Publisher:
    """A directory of kernels, a catalog, a store, and the script that brings the one into the others."""

    root: Path
    url: str

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.json"

    def run(self, script: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "PATH": f"{self.root}/bin:/usr/bin:/bin",
            "FAKE_STORE": str(self.root / "store"),
            "RCLONE_REMOTE": "remote",
            "RCLONE_BUCKET": "bucket",
            "BASE_URL": self.url,
            "BANGER_KERNELS_DIR": str(self.root / "kernels"),
            "BANGER_IMAGES_DIR": str(self.root / "images"),
            "CATALOG": str(self.catalog),
        }
        argv = ["bash", str(ROOT / "scripts" / script), *words]
        return subprocess.run(argv, env=settings | env, capture_output=True, text=True, timeout=60, check=False)

    def put_kernel(self, name: str, arch: str = "x86_64") -> Path:
        directory = self.root / "kernels" / name
        directory.mkdir(parents=True)
        (directory / "vmlinux").write_bytes(vmlinux(BUILT))
        shutil.copytree(modules_directory(self.root / "tree" / name), directory / "modules")
        manifest = {"arch": arch, "kernel_version": RELEASE, "distro": "generic", "description": "a kernel"}
        (directory / "manifest.json").write_text(json.dumps(manifest))
        return directory


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    (tmp_path / "bin").mkdir()
    rclone = tmp_path / "bin" / "rclone"
    rclone.write_text(RCLONE)
    rclone.chmod(0o755)
    (tmp_path / "store").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(tmp_path / "store")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made = Publisher(tmp_path, f"http://127.0.0.1:{server.server_port}")
    shutil.copy(ROOT / "banger" / "kernels" / "catalog.json", made.catalog)
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.requirement("SCR-001", "SCR-002", "KRN-004")
def test_a_published_kernel_is_in_the_catalog_and_can_be_used(publisher: Publisher, tmp_path: Path) -> None:
    publisher.put_kernel("generic-6.12")
    done = publisher.run("publish-kernel.sh", "generic-6.12")
    assert done.returncode == 0, done.stderr
    assert "git commit" in done.stdout
    entries = {entry.name: entry for entry in read_catalog(publisher.catalog.read_bytes(), "catalog")}
    assert list(entries) == sorted(entries)
    entry = entries["generic-6.12"]
    assert entry.package is None
    assert entry.url is not None
    stored = publisher.root / "store" / entry.url.removeprefix(f"{publisher.url}/")
    assert entry.sha256 == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert entry.size == stored.stat().st_size
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert unpack_bundle(stored, scratch, scratch / "image", scratch / "modules", "it") == entry.kernel_version
    with (scratch / "modules").open("rb") as tar:
        assert all(name.encode() in tar.read() for name in MODULES[:1])


def test_publishing_again_changes_nothing(publisher: Publisher) -> None:
    publisher.put_kernel("own")
    assert publisher.run("publish-kernel.sh", "own").returncode == 0
    before = publisher.catalog.read_bytes()
    for path in (publisher.root / "kernels" / "own").rglob("*"):
        path.touch()
    assert publisher.run("publish-kernel.sh", "own").returncode == 0
    assert publisher.catalog.read_bytes() == before
    assert len(list((publisher.root / "store" / "kernels").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        ([], {}, "publish-kernel.sh NAME"),
        (["--help"], {}, "publish-kernel.sh NAME"),
        (["../own"], {}, "cannot be a name"),
        (["other"], {}, "other/vmlinux is not there"),
        (["arm"], {}, "is for arm64; VMs need x86_64"),
        (["own"], {"RCLONE_BUCKET": ""}, "RCLONE_BUCKET is not set"),
        (["own"], {"BASE_URL": "http://kernels.test"}, "over https only"),
        (["own"], {"FAKE_LOSS": "yes"}, "no bytes are seen there|returned error: 404"),
    ],
    ids=range(8),
)
def test_what_cannot_be_published_leaves_the_catalog_as_it_was(
    words: list[str], env: dict[str, str], said: str, publisher: Publisher
) -> None:
    publisher.put_kernel("own")
    publisher.put_kernel("arm", arch="arm64")
    before = publisher.catalog.read_bytes()
    done = publisher.run("publish-kernel.sh", *words, **env)
    assert done.returncode != 0
    assert any(one in done.stderr for one in said.split("|")), done.stderr
    assert publisher.catalog.read_bytes() == before


def test_an_image_is_published_the_same_way(publisher: Publisher) -> None:
    images = publisher.root / "images"
    images.mkdir()
    (images / "mine.tar.zst").write_bytes(b"a bundle")
    (images / "mine.json").write_text(json.dumps({"arch": "x86_64", "kernel": "generic-6.12"}))
    publisher.catalog.write_text(json.dumps({"version": 1, "images": [{"name": "zoo"}, {"name": "mine", "size": 1}]}))
    done = publisher.run("publish-image.sh", "mine")
    assert done.returncode == 0, done.stderr
    first, last = json.loads(publisher.catalog.read_text())["images"]
    assert last == {"name": "zoo"}
    assert (first["name"], first["size"], first["kernel"]) == ("mine", 8, "generic-6.12")
    assert first["sha256"] == hashlib.sha256(b"a bundle").hexdigest()


def test_the_scripts_have_no_mistake_that_shellcheck_knows() -> None:
    scripts = sorted((ROOT / "scripts").glob("*kernel*.sh")) + sorted((ROOT / "scripts").glob("publish*.sh"))
    assert len(scripts) >= 4
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
