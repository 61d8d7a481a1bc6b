"""The loop: one thread, one request at a time, every one of them in the audit log."""

import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

from banger.worker.audit import Audit, Line
from banger.worker.journal import JournalError
from banger.worker.privileges import peer_of
from banger.worker.session import Bucket, Refusal, Session, State
from banger.worker.validation import RefusedError
from banger.worker.wire import AnyReply, AnyRequest, Hello, List, Probe, Refused, encode

MOST_CONNECTIONS = 8
_READ = 16 * 1024
_TICK_S = 1.0
_LONGEST_RESULT = 400


@dataclass(frozen=True, slots=True)
class Peer:
    """A connection, and who is at its other end."""

    socket: socket.socket
    session: Session
    uid: int
    pid: int


class Server:
    """Serves the owner and root until `stop`."""

    def __init__(
        self,
        listener: socket.socket,
        owner_uid: int,
        perform: Callable[[AnyRequest], AnyReply],
        audit: Audit,
        monotonic: Callable[[], float],
    ) -> None:
        self._listener = listener
        self._allowed = {0, owner_uid}
        self._perform = perform
        self._audit = audit
        self._monotonic = monotonic
        self._bucket = Bucket(monotonic())
        self._selector = selectors.DefaultSelector()
        self._peers: set[Peer] = set()
        self._ended = False
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, None)

    def stop(self) -> None:
        """End the loop after what it is doing. What is held stays held."""
        self._ended = True

    def run(self) -> None:
        """Serve. Raises JournalError when nothing can be written down any more: then nothing may be done either."""
        while not self._ended:
            for key, _ in self._selector.select(_TICK_S):
                if key.data is None:
                    self._accept()
                else:
                    self._read(key.data)
            now = self._monotonic()
            for peer in [one for one in self._peers if one.session.is_late(now)]:
                self._refuse(peer, Refusal(0, "malformed"))
        for peer in list(self._peers):
            self._close(peer)
        self._selector.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # gone before we came to it, or no descriptor is free: the next one will do
            return
        uid, pid = peer_of(connection)
        if uid not in self._allowed or len(self._peers) >= MOST_CONNECTIONS:
            self._write(uid, pid, "connect", "", "refused", 0.0, durable=False)
            connection.close()
            return
        connection.setblocking(False)
        peer = Peer(connection, Session(self._bucket), uid, pid)
        self._peers.add(peer)
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.socket.recv(_READ)  # descriptors that come along are closed by the kernel: no room for them
        except OSError:
            data = b""
        if not data:
            self._close(peer)
            return
        found = peer.session.receive(data, self._monotonic())
        if isinstance(found, Refusal):
            self._refuse(peer, found)
        elif found is not None:
            self._answer(peer, found)

    def _answer(self, peer: Peer, request: AnyRequest) -> None:
        began = self._monotonic()
        try:
            reply: AnyReply = self._perform(request)
            result = "ok"
        except RefusedError as error:
            reply = Refused(seq=request.seq, code=error.code, errno=error.errno)
            result = str(error)[:_LONGEST_RESULT]
        except JournalError:
            self._send(peer, Refused(seq=request.seq, code="full"))
            raise
        took = (self._monotonic() - began) * 1000
        op, vm = request.__struct_config__.tag, getattr(request, "vm", "")
        self._write(
            peer.uid, peer.pid, str(op), vm, result, took, durable=not isinstance(request, Hello | List | Probe)
        )
        if peer.session.state is State.BUSY:
            peer.session.answered()
        self._send(peer, reply)

    def _refuse(self, peer: Peer, refusal: Refusal) -> None:
        self._write(peer.uid, peer.pid, "refused", "", refusal.code, 0.0, durable=False)
        self._send(peer, Refused(seq=refusal.seq, code=refusal.code))
        if refusal.closes:
            self._close(peer)

    def _send(self, peer: Peer, reply: AnyReply) -> None:
        """Answer. Who does not take an answer as small as ours is not listening."""
        frame = encode(reply)
        try:
            sent = peer.socket.send(frame)
        except OSError:
            sent = 0
        if sent != len(frame):
            self._close(peer)

    def _close(self, peer: Peer) -> None:
        if peer in self._peers:
            self._peers.discard(peer)
            self._selector.unregister(peer.socket)
            peer.socket.close()

    def _write(self, uid: int, pid: int, op: str, vm: str, result: str, ms: float, *, durable: bool) -> None:
        self._audit.write(Line(self._audit.now(), uid, pid, op, vm, result, round(ms, 3)), durable=durable)
