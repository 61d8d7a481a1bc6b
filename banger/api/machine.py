"""One VM, as a Python object."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio.to_thread

from banger.api.calls import forget_events, operate
from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.piped import run_piped
from banger.cli.session import Session
from banger.cli.start_daemon import daemon
from banger.cli.unpack import Bounds
from banger.cli.vm_cp import Place, copy_in, copy_out
from banger.model.errors import BangerError, GuestError, NotFoundError
from banger.model.exec import ExecRequest
from banger.model.verbs import HealthView, PortsView, StatsView
from banger.model.vm import VmView

OUTPUT_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended, and what it wrote. `status`: 128 + n if signal n ended it."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes


class CompletedError(BangerError):
    """A command ended with another status than 0, and was not to."""

    def __init__(self, completed: Completed) -> None:
        said = completed.stderr[-500:].decode(errors="replace").strip()
        super().__init__(f"{completed.argv[0]} ended with status {completed.status}" + (f": {said}" if said else ""))
        self.completed = completed


class Vm:
    """A VM. As a context manager it is deleted at the end of the block, and also if this process dies before that."""

    def __init__(self, view: VmView, session: Session | None = None) -> None:
        self.id = view.id
        self._view = view
        self._session = session

    def __repr__(self) -> str:
        """Name it."""
        return f"Vm({self._view.name!r})"

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Delete it; one that is gone already is fine."""
        with suppress(NotFoundError):
            self.delete()

    @property
    def name(self) -> str:
        """Its name, as far as is known here: somebody else may rename it."""
        return self._view.name

    def show(self) -> VmView:
        """Look at it. Raises NotFoundError if it has gone."""
        with daemon() as client:
            self._view = decode(VmView, client.get(vm_path(self.id)))
        return self._view

    def exec(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",  # noqa: A002 - as subprocess.run calls it
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        check: bool = False,
        limit_bytes: int = OUTPUT_MOST_BYTES,
    ) -> Completed:
        """Run a command in it, through its agent: words as they are, no shell. `check`: raise CompletedError.

        Raises GuestError if it writes more than `limit_bytes`.
        """
        out, err = bytearray(), bytearray()

        def gather(into: bytearray, data: bytes) -> None:
            into.extend(data)
            if len(out) + len(err) > limit_bytes:
                raise GuestError(f"{argv[0]} writes more than {limit_bytes} bytes")

        source: Iterator[bytes] = iter([input] if input else [])
        with daemon() as client:
            status, _ = run_piped(
                client,
                self.id,
                ExecRequest(tuple(argv), dict(env or {}), cwd),
                source=source,
                sink=partial(gather, out),
                errors=partial(gather, err),
            )
        completed = Completed(tuple(argv), status, bytes(out), bytes(err))
        if check and status:
            raise CompletedError(completed)
        return completed

    def copy_in(self, source: str | Path, dest: str) -> list[str]:
        """Copy a local file or directory into it, as `vm cp` does; return what was left out."""
        return copy_in(str(source), Place(self.id, dest))

    def copy_out(self, source: str, dest: str | Path, *, limit_bytes: int = Bounds().content_bytes) -> list[str]:
        """Copy a file or directory out of it, as `vm cp` does; return what was left out."""
        return copy_out(Place(self.id, source), str(dest), Bounds(content_bytes=limit_bytes))

    def start(self) -> None:
        """Start it."""
        self._operate("POST", "/start")

    def stop(self) -> None:
        """Stop it; its disks stay."""
        self._operate("POST", "/stop")

    def restart(self) -> None:
        """Stop it and start it."""
        self._operate("POST", "/restart")

    def kill(self) -> None:
        """End it at once; its disks stay."""
        self._operate("POST", "/kill")

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._operate("PATCH", "", {"name": name})

    def delete(self) -> None:
        """Stop it and remove all that is its own."""
        with daemon() as client:
            operate(client, "DELETE", vm_path(self.id), None, forget_events)
        if self._session is not None:
            self._session.close()
            self._session = None

    def health(self) -> HealthView:
        """Ask how its guest is."""
        with daemon() as client:
            return decode(HealthView, client.get(vm_path(self.id, "/health")))

    def stats(self) -> StatsView:
        """Measure what it uses."""
        with daemon() as client:
            return decode(StatsView, client.get(vm_path(self.id, "/stats")))

    def ports(self) -> PortsView:
        """What listens in it, made reachable from here."""
        with daemon() as client:
            return decode(PortsView, client.get(vm_path(self.id, "/ports")))

    def _operate(self, method: str, rest: str, body: object = None) -> None:
        with daemon() as client:
            self._view = decode(VmView, operate(client, method, vm_path(self.id, rest), body, forget_events))


class AsyncVm:
    """The same for an event loop: each method waits in a thread."""

    def __init__(self, vm: Vm) -> None:
        self.sync = vm

    @property
    def name(self) -> str:
        """Its name."""
        return self.sync.name

    async def __aenter__(self) -> Self:
        """Return self."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Delete it, also when cancelled."""
        with anyio.CancelScope(shield=True), suppress(NotFoundError):
            await self.delete()

    async def exec(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",  # noqa: A002 - as subprocess.run calls it
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        check: bool = False,
    ) -> Completed:
        """As `Vm.exec`."""
        return await anyio.to_thread.run_sync(
            partial(self.sync.exec, argv, input=input, env=env, cwd=cwd, check=check), abandon_on_cancel=True
        )

    async def show(self) -> VmView:
        """As `Vm.show`."""
        return await anyio.to_thread.run_sync(self.sync.show)

    async def copy_in(self, source: str | Path, dest: str) -> list[str]:
        """As `Vm.copy_in`."""
        return await anyio.to_thread.run_sync(self.sync.copy_in, source, dest)

    async def copy_out(self, source: str, dest: str | Path) -> list[str]:
        """As `Vm.copy_out`."""
        return await anyio.to_thread.run_sync(self.sync.copy_out, source, dest)

    async def start(self) -> None:
        """As `Vm.start`."""
        await anyio.to_thread.run_sync(self.sync.start)

    async def stop(self) -> None:
        """As `Vm.stop`."""
        await anyio.to_thread.run_sync(self.sync.stop)

    async def restart(self) -> None:
        """As `Vm.restart`."""
        await anyio.to_thread.run_sync(self.sync.restart)

    async def kill(self) -> None:
        """As `Vm.kill`."""
        await anyio.to_thread.run_sync(self.sync.kill)

    async def delete(self) -> None:
        """As `Vm.delete`."""
        await anyio.to_thread.run_sync(self.sync.delete)

    async def health(self) -> HealthView:
        """As `Vm.health`."""
        return await anyio.to_thread.run_sync(self.sync.health)

    async def ports(self) -> PortsView:
        """As `Vm.ports`."""
        return await anyio.to_thread.run_sync(self.sync.ports)
