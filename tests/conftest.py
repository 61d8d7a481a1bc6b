"""Which tests run when, and fixtures for tests that boot real guests: the kernel and the image are made once."""

import json
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
    """A state directory with kernel and image, its daemon down: the first run of a new user."""
    banger = Banger(tmp_path_factory.mktemp("ready"))
    try:
        assert banger.ok("vm", "run", "--rm", "--", "echo", "hello") == "hello\n"
    finally:
        banger.stop()
    assert banger.litter() == []
    return banger.state


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
