"""Random changes of the corpus end in an error of banger's, or in an image."""

import pytest

from tests.fuzz.layer_reader import run


def test_five_seconds_of_fuzzing_find_nothing() -> None:
    target = run(5, seed=1)
    assert target.runs > 200
    assert target.accepted > 20


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_ten_minutes_of_fuzzing_find_nothing() -> None:
    run(600, seed=2)
