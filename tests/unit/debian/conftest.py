"""A directory that is a Debian archive, for the downloader; no network."""

import hashlib
from pathlib import Path

import pytest

from banger.debian.values import Archive, PackagePin, Source


class LocalArchive:
    """Packages below a directory, and the Archive that has it as a file: source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = Archive(
            (Source(f"file:{folder}", ("bookworm",), ("main",)),), "bookworm", "amd64", "/dev/null", "a test"
        )

    def add(self, name: str, content: bytes) -> PackagePin:
        filename = f"pool/main/t/test/{name}_1.0+b1_all.deb"
        path = self.folder / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return PackagePin(name, "1.0+b1", "all", filename, len(content), sha256, security=False)


@pytest.fixture
def local(tmp_path: Path) -> LocalArchive:
    return LocalArchive(tmp_path / "archive")
