"""How long banger waits for a registry, and how often it asks again. Tests have the same rules with smaller numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Times in seconds.

    `stall_s` without `stall_bytes` in it ends a transfer; `head_s` is for the head of an answer, `document_s` for the
    whole of a small one. `waits_s` bounds the sum of all pauses between the tries of one request, `total_s` the time
    after which it is not tried again. (Both from the last byte that was new.)
    """

    connect_s: float = 10.0
    head_s: float = 60.0
    document_s: float = 60.0
    stall_s: float = 30.0
    stall_bytes: int = 30 * 1024
    tick_s: float = 0.2
    tries: int = 6
    mirror_tries: int = 2
    resumes: int = 64
    backoff_s: float = 1.0
    backoff_cap_s: float = 30.0
    retry_after_cap_s: float = 60.0
    waits_s: float = 150.0
    total_s: float = 180.0
    redirects: int = 5
    helper_s: float = 20.0


PATIENCE = Patience()
