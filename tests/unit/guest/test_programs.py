"""The guest programs: static, and the same bytes from the same sources wherever they are built."""

import shutil
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).parents[3] / "banger"
PT_INTERP = 3


def build(directory: Path) -> dict[str, bytes]:
    """Copy the sources to a directory, build there, and return the programs."""
    package = directory / "banger"
    shutil.copytree(PACKAGE / "guest/src", package / "guest/src")
    shutil.copy(PACKAGE / "__init__.py", package)
    subprocess.run(["make", "-s", "-C", package / "guest/src"], check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in sorted((directory / "build/bin").iterdir())}


def test_the_programs_are_reproducible_static_and_small(tmp_path: Path) -> None:
    here, there = build(tmp_path / "here"), build(tmp_path / "somewhere/else/entirely")
    assert sorted(here) == ["banger-agent", "banger-init", "banger-place"]
    assert here == there
    for program in here.values():
        assert len(program) < 128 * 1024
        count = int.from_bytes(program[0x38:0x3A], "little")
        kinds = [int.from_bytes(program[0x40 + 56 * i :][:4], "little") for i in range(count)]
        assert PT_INTERP not in kinds
