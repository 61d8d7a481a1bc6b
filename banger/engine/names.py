"""Names for VMs that the user did not name."""

import secrets

# fmt: off
_FIRST = (
    "amber", "bold", "brisk", "calm", "clear", "deft", "early", "fair", "fleet", "glad",
    "keen", "kind", "light", "merry", "neat", "plain", "quick", "rapid", "sharp", "swift",
)
_SECOND = (
    "ant", "bee", "crab", "crow", "dove", "elk", "finch", "fox", "gull", "hare",
    "heron", "ibis", "jay", "lark", "lynx", "mole", "otter", "owl", "swan", "wren",
)
# fmt: on


def pick_name(taken: set[str]) -> str:
    """A name that is not taken: two words, and a number once most pairs are in use."""
    for _ in range(50):
        name = f"{secrets.choice(_FIRST)}-{secrets.choice(_SECOND)}"
        if name not in taken:
            return name
    while (name := f"{secrets.choice(_FIRST)}-{secrets.choice(_SECOND)}-{secrets.randbelow(10**6)}") in taken:
        pass
    return name
