"""Paragraphs of control files, good and hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.debian.deb822 import MalformedError, paragraphs


def test_paragraphs_are_split_by_empty_lines_and_comments_are_skipped() -> None:
    text = "# first\nPackage: a\n# between\nVersion: 1\n\n \t\n\nPackage: b\n"
    assert list(paragraphs(text)) == [{"package": "a", "version": "1"}, {"package": "b"}]


def test_folded_lines_are_joined() -> None:
    assert list(paragraphs("Description: one\n two\n .\n three\n")) == [{"description": "one\ntwo\n.\nthree"}]


@pytest.mark.parametrize(
    "text", [" starts folded\n", "no colon\n", "A: 1\na: 2\n", "-dash: 1\n", ": empty\n", "sp ace: 1\n"]
)
def test_a_malformed_paragraph_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(MalformedError, match=r"line \d"):
        list(paragraphs(text))


@given(st.text(max_size=400))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        for fields in paragraphs(text):
            assert fields
            assert all(name == name.lower() and ":" not in name for name in fields)
    except MalformedError:
        pass
