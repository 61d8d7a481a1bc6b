"""Ages and sizes as people type them."""

import re

from banger.model.errors import SpecError

_AGE_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_age(text: str) -> float:
    """Read an age such as 12h as seconds. Raises SpecError."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if not match:
        raise SpecError(f"{text[:40]!r} is not an age: write a whole number and s, m, h or d, such as 12h")
    return float(int(match[1]) * _AGE_UNITS[match[2]])


def parse_bytes(text: str) -> int:
    """Read an amount of bytes such as 500M; a bare number is bytes. Raises SpecError."""
    match = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text)
    if not match:
        raise SpecError(f"{text[:40]!r} is not a size: write a whole number and K, M, G or T, such as 500M")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def age(seconds: float) -> str:
    """Write an age for people, in its biggest unit: 40 s, 12 h, 3 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
