"""Whatever the layers, the image holds what umoci unpacks: every entry, type, mode, owner, time, attribute and byte."""

import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from banger.layers.options import Layer
from banger.model.errors import SpecError
from tests.unit.ext4.images import assert_clean, tar_of
from tests.unit.layers.images import Generator, differences, flatten_here, layer_of, tree_of, umoci_tree

KNOWN = ("which is not there", "hard link to itself")
"""What umoci allows in one order: a hard link to what the same layer whites out."""


def outcome(layers: list[Layer], image: Path) -> str | None:
    try:
        flatten_here(layers, image)
    except SpecError as error:
        return error.message
    return None


def compare(number: int, outcomes: Counter[str]) -> None:
    generated = Generator(number).layers()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layers = [layer_of(folder, tar_of(entries)) for entries in generated]
        image = folder / "out.img"
        started_ns = time.time_ns() - 1_000_000_000
        theirs = umoci_tree(folder, layers)
        said = outcome(layers, image)
        if said is not None:
            assert isinstance(theirs, str) or any(known in said for known in KNOWN), (number, said)
            outcomes["refused by both" if isinstance(theirs, str) else "refused here"] += 1
            return
        assert_clean(image)
        if isinstance(theirs, str):  # umoci removes what a hard link replaces, and then does not find its target
            assert "no such file" in theirs or "not a directory" in theirs, (number, theirs)
            outcomes["refused there"] += 1
            return
        assert differences(tree_of(image), theirs, started_ns) == [], number
        outcomes["equal"] += 1


@pytest.mark.root
def test_200_generated_images_hold_what_umoci_unpacks() -> None:
    outcomes: Counter[str] = Counter()
    for number in range(200):
        compare(number, outcomes)
    assert outcomes["equal"] >= 80, outcomes
    assert outcomes["refused here"] + outcomes["refused there"] <= 25, outcomes


@pytest.mark.root
@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_5000_generated_images_hold_what_umoci_unpacks() -> None:
    outcomes: Counter[str] = Counter()
    number = 200
    while outcomes["equal"] < 5000:
        compare(number, outcomes)
        number += 1
