"""Which tests run when, and fixtures for tests that boot real guests: the kernel and the image are made once."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import Banger, copy_state


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave nightly tests out unless they are asked for by that name."""
    if "nightly" not in str(config.getoption("markexpr")):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("nightly")])
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]


@pytest.fixture(scope="session")
def ready_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with kernel and image, its daemon down, made by the first worker that wants it."""
    ours = tmp_path_factory.getbasetemp()
    shared = ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours
    with (shared / "ready.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "ready" / "state").is_dir():
            make_ready(shared / "making")
            (shared / "making").rename(shared / "ready")
    return shared / "ready" / "state"


def make_ready(home: Path) -> None:
    """Do the first run of a new user."""
    banger = Banger(home)
    try:
        assert banger.ok("vm", "run", "--rm", "--", "echo", "hello") == "hello\n"
    finally:
        banger.stop()
    assert banger.litter() == []


@pytest.fixture(scope="module")
def banger(ready_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Banger]:
    """An installation for the tests of one module. What they leave behind goes, and then nothing may be left."""
    banger = copy_state(ready_state, tmp_path_factory.mktemp("home"))
    try:
        yield banger
    finally:
        for vm in json.loads(banger.ok("vm", "list", "--json")):
            banger.ok("vm", "delete", vm["name"])
        banger.stop()
    assert banger.litter() == []
