"""Amounts as people write them."""

FEW_S = 10
MINUTE_S = 60
KIB = 1024
_SHORT = 12


def seconds(value: float | None) -> str:
    """Write a duration: 0.25 s, 12.3 s, 2 min 05 s; a dash if it is not known."""
    if value is None:
        return "-"
    if value < FEW_S:
        return f"{value:.2f} s"
    if value < MINUTE_S:
        return f"{value:.1f} s"
    return f"{int(value) // MINUTE_S} min {int(value) % MINUTE_S:02d} s"


def size(size_bytes: int) -> str:
    """Write a size: 12 B, 3.4 MiB."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < KIB:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= KIB
    return f"{value:.1f} TiB"


def short_digest(digest: str | None) -> str:
    """The first twelve digits, enough for `cache show`."""
    return (digest or "").removeprefix("sha256:")[:_SHORT]


def name_of(kind: str, label: str) -> str:
    """A node for people: its kind and, where that says more, its label."""
    return kind if label in {"", kind} else f"{kind} {label}"
