"""Credential helpers of Docker: `docker-credential-NAME get`, the server on stdin, JSON on stdout.

Source: github.com/docker/docker-credential-helpers, "Development". No shell; a deadline;
what it prints is never shown, as it may be the secret.
"""

import re
import shutil
from collections.abc import Mapping

import anyio
import anyio.from_thread
import msgspec

from banger.host.process import run
from banger.model.errors import DeadlineError, HostError, SpecError
from banger.oci.credentials import AskHelper, Credential, of_helper
from banger.oci.document import read_document, shape
from banger.oci.errors import ContentError, StoppedError, shown
from banger.oci.watch import Stop

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_OUTPUT_LIMIT_BYTES = 64 * 1024
_NOT_FOUND = (b"credentials not found", b"no credentials server URL", b"no credentials username")


class _Found(msgspec.Struct, frozen=True):
    username: str = msgspec.field(default="", name="Username")
    secret: str = msgspec.field(default="", name="Secret")


def helper_asker(environ: Mapping[str, str], deadline_s: float) -> AskHelper:
    """Make the function that asks a helper, for worker threads. It raises HostError, SpecError and StoppedError."""

    async def stoppable(name: str, server: str, stop: Stop) -> Credential | None:
        with anyio.CancelScope() as scope, stop.calling(scope.cancel):
            return await ask_helper(name, server, environ, deadline_s)
        raise StoppedError

    def ask(name: str, server: str, stop: Stop) -> Credential | None:
        return anyio.from_thread.run(stoppable, name, server, stop)

    return ask


async def ask_helper(name: str, server: str, environ: Mapping[str, str], deadline_s: float) -> Credential | None:
    """Ask the helper of a name for a server; None if it has nothing. Raises HostError and SpecError."""
    if not _NAME.match(name):
        raise SpecError(f"{shown(name)} is not the name of a credential helper")
    program = shutil.which(f"docker-credential-{name}", path=environ.get("PATH", ""))
    if program is None:
        raise HostError(
            f"docker-credential-{name}: not found, but your registry credentials are kept by it",
            hint=f"install docker-credential-{name}, or log in again without it",
        )
    try:
        done = await run(
            [program, "get"],
            deadline_s=deadline_s,
            stdin=server.encode(),
            env=environ,
            output_limit_bytes=_OUTPUT_LIMIT_BYTES,
        )
    except DeadlineError:
        raise DeadlineError(f"docker-credential-{name}: no answer after {deadline_s:g} s") from None
    except OSError as error:
        raise HostError(f"docker-credential-{name}: cannot be run: {error.strerror}") from None
    if done.status != 0:
        if any(text in done.stdout + done.stderr for text in _NOT_FOUND):
            return None
        raise HostError(f"docker-credential-{name}: ended with exit status {done.status} for {shown(server)}")
    return _read(done.stdout, name)


def _read(raw: bytes, name: str) -> Credential | None:
    what = f"docker-credential-{name}"
    try:
        found = shape(read_document(raw, what, _OUTPUT_LIMIT_BYTES), _Found, what)
    except ContentError:
        raise HostError(f"{what}: its answer is not what a credential helper says") from None
    return of_helper(found.username, found.secret)
