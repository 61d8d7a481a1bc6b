"""Debian's archive as this machine reaches it, one lock of the default image with its files, and an ordinary user."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgspec
import pytest

from banger.debian.fetch import fetch
from banger.debian.mirror import find_archives
from banger.debian.recipe import PACKAGES
from banger.debian.resolve import resolve
from banger.debian.values import Archive, Lock

ROOT = Path(__file__).parents[3]
CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True)
class Image:
    """The default image's packages, resolved and fetched once for all tests."""

    lock: Lock
    debs: dict[str, Path]


@dataclass(frozen=True)
class Worker:
    """A user, and a directory that is the user's."""

    name: str
    folder: Path

    def start(
        self, verb: str, image: Image, *, name: str = "scratch", in_memory: bool = False
    ) -> "subprocess.Popen[bytes]":
        job = {
            "verb": verb,
            "scratch": str(self.folder / name),
            "lock": msgspec.to_builtins(image.lock),
            "debs": {package: str(path) for package, path in image.debs.items()},
            "dest": str(self.tar(name)),
            "sources": "deb http://archive.example/debian bookworm main\n",
            "in_memory": in_memory,
        }
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(job))
        path.chmod(0o644)
        argv = [sys.executable, str(CHILD), self.name, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE)

    def tar(self, name: str) -> Path:
        return self.folder / f"{name}.tar"

    def do(self, verb: str, image: Image, *, name: str = "scratch", in_memory: bool = False) -> dict[str, object]:
        with self.start(verb, image, name=name, in_memory=in_memory) as process:
            out, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        answer = json.loads(out)
        assert isinstance(answer, dict)
        return answer


@pytest.fixture(scope="session")
def archive() -> Archive:
    return find_archives()[0]


@pytest.fixture(scope="session")
def image(archive: Archive) -> Iterator[Image]:
    # Not below pytest's directory, which only root may enter.
    with tempfile.TemporaryDirectory(prefix="banger-test-debs-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        lock = anyio.run(resolve, archive, PACKAGES, folder / "state")
        debs = anyio.run(fetch, archive, lock.packages, folder / "debs")
        for path in debs.values():
            path.chmod(0o644)
        yield Image(lock, debs)


@pytest.fixture(scope="session")
def root_worker() -> Iterator[Worker]:
    with tempfile.TemporaryDirectory(prefix="banger-test-root-") as name:
        yield Worker("root", Path(name))


@pytest.fixture(scope="session")
def user_worker() -> Iterator[Worker]:
    """A user made for the tests, with subordinate ids as useradd gives them."""
    user = f"bgtest{os.getpid()}"
    subprocess.run(["useradd", "--create-home", "--key", "SUB_UID_COUNT=65536", user], check=True, capture_output=True)
    try:
        home = Path("~" + user).expanduser()
        yield Worker(user, home)
    finally:
        subprocess.run(["userdel", "--remove", user], check=True, capture_output=True)
