"""A machine's memory is taken out of QEMU's stream, and what is left says all the rest, in the same words."""

import struct
from pathlib import Path

import pytest

from banger.model.errors import HostError
from banger.vm.state_stream import split_state

PAGE = 4096
SIZE = 16 * PAGE
A, B, ROM = bytes([1]) * PAGE, bytes([2]) * PAGE, bytes([9]) * PAGE
DEVICES = b"\x04rest of the devices\x00"


def name(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def header() -> bytes:
    capability = b"\x05" + name(b"configuration/capabilities") + struct.pack(">II", 1, 1) + name(b"x-ignore-shared")
    return b"QEVM\0\0\0\3\x07" + struct.pack(">I", 7) + b"microvm" + capability


def blocks(*found: tuple[bytes, int], total: int | None = None) -> bytes:
    size = sum(length for _, length in found) if total is None else total
    listed = b"".join(name(block) + struct.pack(">QQ", length, 0) for block, length in found)
    return struct.pack(">Q", size | 4) + listed


def page(offset: int, data: bytes | None, block: bytes | None = None) -> bytes:
    flags = (2 if data is None else 8) | (0 if block else 0x20)
    return struct.pack(">Q", offset | flags) + (name(block) if block else b"") + (b"\0" if data is None else data)


EOS = struct.pack(">Q", 0x10)
FOOTER = b"\x7e" + struct.pack(">I", 3)
START = b"\x01" + struct.pack(">I", 3) + name(b"ram") + struct.pack(">II", 0, 4)


def part(kind: int, *records: bytes) -> bytes:
    return bytes([kind]) + struct.pack(">I", 3) + b"".join(records) + EOS + FOOTER


def split(tmp_path: Path, stream: bytes) -> tuple[bytes, bytes]:
    (tmp_path / "stream").write_bytes(stream)
    split_state(tmp_path / "stream", tmp_path / "devices", tmp_path / "memory", SIZE)
    return (tmp_path / "devices").read_bytes(), (tmp_path / "memory").read_bytes()


def test_pages_go_where_they_belong_and_the_rest_stays_as_it_was(tmp_path: Path) -> None:
    stream = header() + START + blocks((b"microvm.ram", SIZE), (b"rom", PAGE)) + EOS + FOOTER
    first = part(
        2, page(0, A, b"microvm.ram"), page(PAGE, None), page(0, ROM, b"rom"), page(5 * PAGE, A, b"microvm.ram")
    )
    last = part(3, page(15 * PAGE, B), page(0, None, b"rom"))
    devices, memory = split(tmp_path, stream + first + last + DEVICES)
    assert memory == A + bytes(4 * PAGE) + A + bytes(9 * PAGE) + B
    listed = header() + START + blocks((b"memory", SIZE), (b"rom", PAGE)) + EOS + FOOTER
    # The second record of `rom` follows the first, now that none of the memory is between them.
    assert devices == listed + part(2, page(0, ROM, b"rom")) + part(3, page(0, None)) + DEVICES
    assert (tmp_path / "memory").stat().st_blocks * 512 <= 4 * PAGE


def test_a_page_that_comes_again_counts_as_it_was_last(tmp_path: Path) -> None:
    stream = header() + START + blocks((b"pc.ram", SIZE)) + EOS + FOOTER
    again = part(3, page(0, A, b"pc.ram"), page(PAGE, A), page(0, B), page(PAGE, None))
    _, memory = split(tmp_path, stream + again + DEVICES)
    assert memory == B + bytes(15 * PAGE)


GOOD = header() + START + blocks((b"pc.ram", SIZE)) + EOS + FOOTER + part(3, page(0, A, b"pc.ram")) + DEVICES
BAD = {
    "another version": GOOD.replace(b"QEVM\0\0\0\3", b"QEVM\0\0\0\4"),
    "no memory of that size": GOOD.replace(struct.pack(">Q", SIZE), struct.pack(">Q", SIZE - PAGE)),
    "a block more": GOOD.replace(struct.pack(">Q", SIZE | 4), struct.pack(">Q", 2 * SIZE | 4)),
    "a page beyond the end": GOOD.replace(page(0, A, b"pc.ram"), page(SIZE, A, b"pc.ram")),
    "compressed pages": GOOD.replace(
        struct.pack(">Q", 8) + name(b"pc.ram"), struct.pack(">Q", 0x100) + name(b"pc.ram")
    ),
    "no footer": GOOD.replace(FOOTER, b""),
    "another section": GOOD.replace(name(b"ram"), name(b"mar")),
    "a subsection": GOOD.replace(b"configuration/capabilities", b"configuration/capabilitiez"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_not_the_format_that_is_known_is_refused(tmp_path: Path, what: str) -> None:
    assert BAD[what] != GOOD
    with pytest.raises(HostError, match="is not what this banger knows"):
        split(tmp_path, BAD[what])


def test_a_stream_that_ends_anywhere_is_refused(tmp_path: Path) -> None:
    whole = len(GOOD) - len(DEVICES)
    for end in range(1, whole, 13):
        for left in tmp_path.iterdir():
            left.unlink()
        with pytest.raises(HostError):
            split(tmp_path, GOOD[:end])
