"""How pulling an image fails, beside the errors that all of banger has.

A fault that may pass (no answer, 503, a cut that did not heal) is `TransientError`; a wrong request of the user
`SpecError` or `NotFoundError`; a disk that is full `HostError`. None of them ever holds a password or a token.
"""

from banger.model.errors import HostError, TransientError

SHOWN_CHARS = 200


class RegistryError(HostError):
    """A registry, or whoever answers for it, broke the protocol or refused."""


class ContentError(RegistryError):
    """Bytes are not what their digest, size or media type says, or a document may not be believed."""


class AuthError(RegistryError):
    """The registry wants credentials, or other ones."""


class UnavailableError(TransientError):
    """The server asks to come back later; `retry_after_s` if it said when."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoppedError(Exception):
    """The work was told to stop. Not a failure: it ends where the cancellation began, and is never shown."""


def shown(text: object) -> str:
    """Quote text that a stranger wrote: bounded, on one line, without anything that commands a terminal."""
    quoted = ascii(text if isinstance(text, str) else str(text))
    return quoted if len(quoted) <= SHOWN_CHARS else f"{quoted[:SHOWN_CHARS]}..."
