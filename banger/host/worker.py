"""The owner's end of the root worker: one connection, one request, and errors that say what to do."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import anyio.to_thread

from banger.model.errors import ConflictError, HostError, TransientError
from banger.model.worker import find_worker_socket
from banger.worker import wire
from banger.worker.validation import bridge_name, instance_id

_DEADLINE_S = 35.0
_LOOK_DEADLINE_S = 1.0
_READ = 16 * 1024
_HINT = "sudo banger worker"
_REASONS = {
    "foreign": "a link, table or route that is not banger's is in its way",
    "quota": "it has as many VMs as there may be",
    "order": "what that rests on is not there, or something rests on it",
    "rate": "too many requests at once",
    "full": "it can write nothing down any more",
    "version": "it is of another version of banger",
}


class UnreachableError(HostError):
    """There is no worker, or it does not answer."""


def has_worker(where: Path | None = None) -> bool:
    """Whether a worker listens. One that has ended leaves its socket behind: it may no longer remove it."""
    path = where or find_worker_socket(os.environ, os.getuid())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_LOOK_DEADLINE_S)
            connection.connect(str(path))
    except OSError:
        return False
    return True


async def ask(make: Callable[[int], wire.AnyRequest], where: Path | None = None) -> wire.AnyReply:
    """Have the worker do one thing; `make` is given the request's number.

    Raises HostError if it cannot be reached or cannot do it, ConflictError if something of another's is in the way,
    TransientError if it may do it a little later.
    """
    path = where or find_worker_socket(os.environ, os.getuid())
    return await anyio.to_thread.run_sync(_ask, path, make)


async def release(kind: wire.Kind, vm: str, where: Path | None = None) -> None:
    """Have the worker take away what a VM has. What is gone is gone, even if there is no worker to say so.

    Raises what `ask` does, if something may be left.
    """
    try:
        await ask(lambda seq: wire.Release(seq=seq, kind=kind, vm=vm), where)
    except UnreachableError:
        bridge = bridge_name(instance_id(os.getuid()))
        if any(name == bridge for _, name in socket.if_nameindex()):
            raise  # otherwise this host was started anew since


def _ask(path: Path, make: Callable[[int], wire.AnyRequest]) -> wire.AnyReply:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_DEADLINE_S)
            connection.connect(str(path))
            _exchange(connection, wire.Hello(seq=1, version=wire.VERSION))
            return _exchange(connection, make(2))
    except (ConnectionResetError, BrokenPipeError) as error:
        raise TransientError(f"the root worker hung up: {error.strerror}", hint=_HINT) from error
    except OSError as error:
        raise UnreachableError(f"the root worker at {path} cannot be reached: {error}", hint=_HINT) from error
    except wire.FrameError as error:
        raise HostError(f"the root worker answered what is no answer: {error}", hint=_HINT) from error


def _exchange(connection: socket.socket, request: wire.AnyRequest) -> wire.AnyReply:
    connection.sendall(wire.encode(request))
    buffer = bytearray()
    while (body := wire.take_frame(buffer)) is None:
        data = connection.recv(_READ)
        if not data:
            raise ConnectionResetError(0, "no answer")
        buffer += data
    reply = wire.decode_reply(body)
    if isinstance(reply, wire.Refused):
        raise _error(reply)
    if reply.seq != request.seq:
        raise wire.FrameError("an answer to another request")
    return reply


def _error(reply: wire.Refused) -> HostError | ConflictError:
    if reply.code == "kernel":
        why = f"the kernel says: {os.strerror(reply.errno)}" if reply.errno else "the kernel did not do it"
        return HostError(f"the root worker could not do it: {why}", hint="sudo tail /var/lib/banger/worker-*/audit")
    text = f"the root worker refused: {_REASONS.get(reply.code, reply.code)}"
    if reply.code == "foreign":
        return ConflictError(text, hint="ip route; ip link; sudo nft list tables")
    return TransientError(text) if reply.code == "rate" else HostError(text, hint=_HINT)
