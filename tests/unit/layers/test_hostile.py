"""Whatever a layer says, it is either written as it says, or refused by an error that names it."""

import hashlib
import itertools
from pathlib import Path

import pytest

from banger.layers import numbering
from banger.layers.options import Compression, Layer
from banger.model.errors import SpecError
from tests.unit.ext4.images import assert_clean
from tests.unit.layers import corpus, corpus_extended
from tests.unit.layers.images import flatten_here

CASES = list(
    itertools.chain(
        corpus.numbers(),
        corpus.types(),
        corpus.names(),
        corpus.links(),
        corpus.xattrs(),
        corpus.framing(),
        corpus_extended.pax(),
        corpus_extended.gnu(),
        corpus_extended.sparse(),
        corpus_extended.sizes(),
    )
)


def test_the_corpus_has_more_than_400_cases() -> None:
    assert len(CASES) > 700
    assert len({name for name, _, _ in CASES}) == len(CASES)


@pytest.mark.requirement("IMG-012", "SEC-007")
@pytest.mark.parametrize("part", range(20))
def test_a_bad_tar_is_refused_by_name_and_a_strange_one_written(tmp_path: Path, part: int) -> None:
    wrong = []
    for number, (name, tar, message) in enumerate(CASES[part::20]):
        said = outcome(tmp_path, tar, is_checked=number % 5 == 0)
        if (message is None) != (said is None) or (message is not None and message not in (said or "")):
            wrong.append((name, message, said))
        assert said is None or said.isprintable(), name
    assert wrong == [], "\n".join(map(str, wrong))


def test_more_names_of_a_file_than_ext4_counts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "MAX_LINKS", 3)
    some = [corpus.header(b"%d" % number, b"1", link=b"f") for number in range(3)]
    assert outcome(tmp_path, corpus.header() + b"".join(some[1:]) + corpus.END, is_checked=True) is None
    said = outcome(tmp_path, corpus.header() + b"".join(some) + corpus.END, is_checked=False)
    assert said == "file f: more than 3 hard links to one file"


@pytest.mark.nightly
def test_a_file_has_at_most_65000_names(tmp_path: Path) -> None:
    for _, tar, message in corpus.many_links():
        said = outcome(tmp_path, tar, is_checked=True)
        assert (message is None) == (said is None)
        assert message is None or message in (said or "")


@pytest.mark.nightly
def test_every_strange_tar_makes_a_sound_image(tmp_path: Path) -> None:
    for _, tar, message in CASES:
        if message is None:
            outcome(tmp_path, tar, is_checked=True)


def outcome(folder: Path, tar: bytes, *, is_checked: bool) -> str | None:
    blob, image = folder / "blob", folder / "out.img"
    blob.write_bytes(tar)
    try:
        flatten_here([Layer(blob, Compression.NONE, hashlib.sha256(tar).hexdigest())], image)
    except SpecError as error:
        return error.message
    if is_checked:
        assert_clean(image)
    return None
