"""Sessions: a throw-away VM lives as long as the command line that made it.

The command line holds one request open. When that connection breaks, however it breaks, the VM is deleted; ending the
session first (or deleting the VM) is the clean way out. A daemon that stops ends sessions without deleting anything.
"""

import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import anyio.abc

from banger.model.errors import NotFoundError

FIRST_SESSION_S = 10.0
"""How long a throw-away VM waits for its first session after it was created."""

log = logging.getLogger(__name__)


class Session:
    """One held-open request."""

    def __init__(self, vm_id: str) -> None:
        self.id = secrets.token_hex(8)
        self.vm_id = vm_id
        self.ended = anyio.Event()


class Sessions:
    """All sessions of this daemon. `abandon` is called with the id of a VM whose session broke."""

    def __init__(self, group: anyio.abc.TaskGroup, abandon: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self._group = group
        self._abandon = abandon
        self._open: dict[str, Session] = {}
        self._expected: set[str] = set()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    def expect(self, vm_id: str) -> None:
        """A throw-away VM was created: it goes unless a session begins soon."""
        self._expected.add(vm_id)
        self._group.start_soon(self._delete_if_unclaimed, vm_id)

    def forget(self, vm_id: str) -> None:
        """The VM is gone: what happens to its sessions no longer matters."""
        self._expected.discard(vm_id)
        for session in self._of(vm_id):
            session.ended.set()

    def end(self, session_id: str) -> None:
        """End a session and keep its VM. Raises NotFoundError."""
        session = self._open.get(session_id)
        if session is None:
            raise NotFoundError(f"session {session_id[:32]}: there is none such")
        session.ended.set()

    def stop(self) -> None:
        """The daemon is going: end every session, keep every VM."""
        self._stopping = True
        for session in self._open.values():
            session.ended.set()

    async def hold(self, vm_id: str) -> AsyncIterator[bytes]:
        """Be one session: yield its id, then nothing until it ends."""
        session = Session(vm_id)
        self._open[session.id] = session
        self._expected.discard(vm_id)
        try:
            yield json.dumps({"event": "session", "id": session.id}).encode() + b"\n"
            await session.ended.wait()
        finally:
            del self._open[session.id]
            if not session.ended.is_set() and not self._of(vm_id):
                log.info("session.broken vm=%s", vm_id)
                self._group.start_soon(self._abandon, vm_id)

    def _of(self, vm_id: str) -> list[Session]:
        return [session for session in self._open.values() if session.vm_id == vm_id]

    async def _delete_if_unclaimed(self, vm_id: str) -> None:
        await anyio.sleep(FIRST_SESSION_S)
        if vm_id in self._expected and not self._stopping:
            self._expected.discard(vm_id)
            log.info("session.never_begun vm=%s", vm_id)
            await self._abandon(vm_id)
