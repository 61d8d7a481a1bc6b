"""Fixtures: an installation of banger with a fake service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.installation import Installation, installed


@pytest.fixture
def banger(tmp_path: Path) -> Iterator[Installation]:
    """An installation for one test."""
    with installed(tmp_path) as installation:
        yield installation


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation for the tests of one module that do not disturb each other."""
    with installed(tmp_path_factory.mktemp("shared")) as installation:
        yield installation
