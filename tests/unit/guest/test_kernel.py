"""Kernel images: every way that kernels are packed, and a refusal for whatever is broken."""

import gzip
import lzma
import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from banger.guest import kernel, lz4
from banger.guest.kernel import extract_vmlinux, kernel_release
from banger.model.errors import HostError

VMLINUX = b"\x7fELF" + bytes(range(256)) * 40
SIZE = struct.pack("<I", len(VMLINUX))


def image(payload: bytes, *, release: bytes = b"6.1.0-9-cloud-amd64 (who@where) #1 SMP\0") -> bytes:
    setup = bytearray(2 * 512)
    setup[0x1F1] = 1
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<HxxxxxxH", setup, 0x206, 0x020F, 0x300 - 0x200)
    struct.pack_into("<II", setup, 0x248, 16, len(payload))
    setup[0x300 : 0x300 + len(release)] = release
    return bytes(setup) + bytes(16) + payload + bytes(8)


def lz4_literals(data: bytes) -> bytes:
    """Return a legacy container of one block that is all literals."""
    rest = len(data) - 15
    block = b"\xf0" + b"\xff" * (rest // 255) + bytes([rest % 255]) + data
    return lz4.MAGIC + struct.pack("<I", len(block)) + block


@pytest.mark.parametrize(
    "payload",
    [
        VMLINUX,
        gzip.compress(VMLINUX),
        lzma.compress(VMLINUX) + SIZE,
        zstandard.compress(VMLINUX) + SIZE,
        lz4_literals(VMLINUX) + SIZE,
    ],
    ids=["plain", "gzip", "xz", "zstd", "lz4"],
)
def test_the_kernel_inside_is_found_however_it_is_packed(payload: bytes) -> None:
    assert extract_vmlinux(image(payload)) == VMLINUX


def test_the_release_is_the_first_word_of_the_version() -> None:
    assert kernel_release(image(b"x")) == "6.1.0-9-cloud-amd64"


@pytest.mark.parametrize("broken", [b"", b"x" * 4096, image(VMLINUX)[:1000], image(VMLINUX)[:2000]])
def test_what_is_no_kernel_is_refused(broken: bytes) -> None:
    with pytest.raises(HostError, match="kernel image"):
        extract_vmlinux(broken)


@pytest.mark.parametrize(
    "payload",
    [
        b"BZh9....",
        gzip.compress(VMLINUX, mtime=0)[:-30],
        lzma.compress(VMLINUX)[:-30],
        b"\x28\xb5\x2f\xfdxx",
        gzip.compress(b"a", mtime=0),
    ],
)
def test_a_broken_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(HostError, match="kernel image"):
        extract_vmlinux(image(payload))


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "VMLINUX_LARGEST_BYTES", 1000)
    for payload in (gzip.compress(VMLINUX), lzma.compress(VMLINUX), zstandard.compress(VMLINUX), lz4_literals(VMLINUX)):
        with pytest.raises(HostError, match=r"larger|longer"):
            extract_vmlinux(image(payload))


def test_an_image_without_a_release_is_refused() -> None:
    with pytest.raises(HostError, match="release"):
        kernel_release(image(b"x", release=b"\0"))


@pytest.mark.parametrize(
    ("block", "content"),
    [
        (b"\x30abc", b"abc"),
        (b"\x31abc\x03\x00\x00", b"abcabcab"),  # a match of 5 that repeats 3 bytes
        (b"\x1fa\x01\x00\x03\x00", b"a" * 23),  # a run: offset 1, 4 + 15 + 3 bytes
        (b"\x4fabcd\x04\x00\xff\x00\x00", b"abcd" + (b"abcd" * 70)[: 4 + 15 + 255]),
    ],
)
def test_lz4_matches_are_copied(block: bytes, content: bytes) -> None:
    data = lz4.MAGIC + struct.pack("<I", len(block)) + block
    assert lz4.decompress_legacy(data, limit_bytes=1000) == content


@given(st.binary(max_size=200))
def test_any_lz4_block_is_read_or_refused(block: bytes) -> None:
    data = lz4.MAGIC + struct.pack("<I", len(block)) + block
    try:
        assert len(lz4.decompress_legacy(data, limit_bytes=10**6)) <= 10**6
    except HostError as error:
        assert "LZ4" in error.message  # noqa: PT017  # either outcome is right
