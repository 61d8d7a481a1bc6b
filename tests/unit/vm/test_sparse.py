"""Pages of zeroes become holes; nothing else of a file changes."""

import random
from pathlib import Path

import pytest

from banger.vm.sparse import PAGE_BYTES, punch_zero_pages


@pytest.mark.parametrize("seed", range(6))
def test_pages_of_zeroes_become_holes_and_the_content_stays(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    pages = [bytes(PAGE_BYTES) if rng.random() < 0.5 else rng.randbytes(PAGE_BYTES) for _ in range(700)]
    content = b"".join(pages) + rng.randbytes(rng.randrange(1, PAGE_BYTES))
    file = tmp_path / "memory"
    file.write_bytes(content)
    zeroes = sum(page == bytes(PAGE_BYTES) for page in pages)
    assert punch_zero_pages(file) == zeroes * PAGE_BYTES
    assert file.read_bytes() == content
    assert file.stat().st_blocks * 512 <= len(content) - zeroes * PAGE_BYTES + PAGE_BYTES
    assert punch_zero_pages(file) == 0


def test_a_file_of_nothing_but_zeroes_takes_no_space_and_keeps_its_size(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    file.write_bytes(bytes(3 * 1024 * 1024))
    assert punch_zero_pages(file) == 3 * 1024 * 1024
    assert (file.stat().st_size, file.stat().st_blocks) == (3 * 1024 * 1024, 0)
