"""crc32c agrees with its definition, bit by bit."""

import random

from banger.ext4.checksum import crc32c


def by_definition(data: bytes, crc: int) -> int:
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def test_the_check_value_of_the_standard_is_met() -> None:
    assert crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283  # RFC 3720, B.4, and every catalogue of CRCs


def test_every_length_and_ending_agrees_with_the_definition() -> None:
    choose = random.Random(7)
    for length in [*range(40), 255, 256, 4092, 4095, 4096]:
        for zeros in {0, 1, 2, 3, length // 2, length - 1, length} & set(range(length + 1)):
            data = choose.randbytes(length - zeros) + bytes(zeros)
            seed = choose.getrandbits(32)
            assert crc32c(data, seed) == by_definition(data, seed), (length, zeros)
