"""Run one command in a guest over SSH. The only module that knows asyncssh.

Nothing of the user's own SSH set-up takes part: no configuration, no agent, no default keys, no forwarding; the host
key is the pinned one or the connection ends.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import anyio
import asyncssh

from banger.model.errors import BangerError, DeadlineError, GuestError, HostError

_OUTPUT_LIMIT_BYTES = 1024 * 1024
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


@dataclass(frozen=True, slots=True)
class GuestSsh:
    """Where a guest's sshd is, and the keys that it and we are known by. `host_key`: as in an authorized_keys line."""

    port: int
    client_key: Path
    host_key: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended; `status` is None if a signal ended it."""

    status: int | None
    stdout: bytes
    stderr: bytes


async def run_in_guest(guest: GuestSsh, command: str, stdin: AsyncIterator[bytes], *, deadline_s: float) -> Ended:
    """Run a shell command as root, feeding it `stdin`.

    Raises GuestError if the guest cannot be reached or is not who it should be, HostError if our key is unusable,
    DeadlineError after `deadline_s` seconds.
    """
    try:
        with anyio.fail_after(deadline_s):
            async with _connection(guest) as connection, connection.create_process(command, encoding=None) as process:
                return await _talk(process, stdin)
    except TimeoutError as error:
        raise DeadlineError(f"the guest did not finish within {deadline_s:g} s", hint="banger vm logs <vm>") from error
    except (OSError, asyncssh.Error) as error:
        raise GuestError(f"SSH to the guest: {error}", hint="banger vm logs <vm>") from error


def _connection(guest: GuestSsh) -> AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
    try:
        keys = [asyncssh.read_private_key(guest.client_key)]
    except (OSError, asyncssh.KeyImportError) as error:
        raise HostError(f"the SSH key {guest.client_key} cannot be read: {error}") from error
    trusted = asyncssh.import_public_key(guest.host_key)
    return asyncssh.connect(
        "127.0.0.1",
        guest.port,
        username="root",
        config=None,
        client_keys=keys,
        agent_path=None,
        agent_forwarding=False,
        x11_forwarding=False,
        gss_host=None,
        known_hosts=([trusted], [], []),
        server_host_key_algs=["ssh-ed25519"],
        encryption_algs=_CIPHERS,
        compression_algs=None,
        preferred_auth="publickey",
    )


async def _talk(process: "asyncssh.SSHClientProcess[bytes]", stdin: AsyncIterator[bytes]) -> Ended:
    out: list[bytes] = []
    err: list[bytes] = []

    async def collect(reader: "asyncssh.SSHReader[bytes]", into: list[bytes]) -> None:
        size = 0
        while chunk := await reader.read(65536):
            size += len(chunk)
            if size <= _OUTPUT_LIMIT_BYTES:  # the rest is read and dropped, so that the command is not held up
                into.append(chunk)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(collect, process.stdout, out)
            group.start_soon(collect, process.stderr, err)
            await _feed(process, stdin)
            await process.wait_closed()
    except BaseExceptionGroup as errors:
        for error in errors.exceptions:  # what the stream, or the connection, raised
            if isinstance(error, BangerError | OSError | asyncssh.Error):
                raise error from None
        raise
    return Ended(process.exit_status, b"".join(out), b"".join(err))


async def _feed(process: "asyncssh.SSHClientProcess[bytes]", stdin: AsyncIterator[bytes]) -> None:
    """Write the stream. If the command ends before, its status says whether that is an error."""
    async for chunk in stdin:
        try:
            process.stdin.write(chunk)
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionError, asyncssh.Error):
            return
    if not process.stdin.is_closing():
        process.stdin.write_eof()
