"""The daemon's own state: service, operations, sessions, and when it was last needed."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
import anyio.abc

from banger import __version__
from banger.daemon.execution import Executions
from banger.daemon.operations import Operation, Operations
from banger.daemon.service import Emit, Service
from banger.daemon.sessions import Sessions
from banger.model.cache import PruneRequest
from banger.model.errors import ConflictError, NotFoundError
from banger.model.paths import StatePaths
from banger.model.verbs import VmChange
from banger.model.views import DaemonView, OperationView, ShutdownView
from banger.model.vm import Sizes, VmRequest, VmView

STOP_DEADLINE_S = 30.0
"""How long a stopping daemon waits for cancelled operations to be undone."""
RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Settings:
    """What can differ between daemons. `idle_s`: how long it stays with no VM running and no client."""

    idle_s: float = 15 * 60.0


class Daemon:
    """Composes a service with operations and sessions. Lives inside the task group that it is given."""

    def __init__(self, service: Service, paths: StatePaths, group: anyio.abc.TaskGroup, settings: Settings) -> None:
        self.service = service
        self.operations = Operations(group)
        self.sessions = Sessions(group, self._abandon)
        self.executions = Executions()
        self.stop_requested = anyio.Event()
        self._paths = paths
        self._settings = settings
        self._started_at = datetime.now(UTC).timestamp()
        self._last_request = anyio.current_time()
        self._deletions: dict[str, Operation] = {}

    def touch(self) -> None:
        """A client is there."""
        self._last_request = anyio.current_time()

    def view(self) -> DaemonView:
        """The daemon about itself."""
        return DaemonView(
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            state_dir=str(self._paths.root),
            operations=len(self.operations.under_way()),
            sessions=len(self.sessions),
        )

    def create(self, request: VmRequest, *, attached: bool) -> OperationView:
        """Begin to make a VM."""

        async def work(emit: Emit) -> VmView:
            view = await self.service.create_vm(request, emit)
            if request.ephemeral:
                self.sessions.expect(view.id)
            return view

        return self._begin(f"create {request.name or 'a VM'}", work, attached=attached)

    async def delete(self, ref: str, *, if_stopped: bool = False) -> OperationView:
        """Begin to delete a VM, whoever else asks for it meanwhile: there is one deletion of a VM at a time."""
        vm = await self.service.show_vm(ref)
        under_way = self._deletions.get(vm.id)
        if under_way and not under_way.finished:
            return OperationView(under_way.id, under_way.what)

        async def work(emit: Emit) -> None:
            try:
                await self.service.delete_vm(vm.id, emit, if_stopped=if_stopped)
                self.sessions.forget(vm.id)
            finally:
                if not if_stopped:
                    self._deletions.pop(vm.id, None)

        operation = self.operations.start(f"delete {vm.name}", work, attached=False)
        if not if_stopped:  # one that may refuse is not what others ask for
            self._deletions[vm.id] = operation
        return OperationView(operation.id, operation.what)

    def start(self, ref: str) -> OperationView:
        """Begin to start a VM."""
        return self._begin(f"start {ref}", lambda emit: self.service.start_vm(ref, emit), attached=False)

    def stop_vm(self, ref: str) -> OperationView:
        """Begin to stop a VM."""
        return self._begin(f"stop {ref}", lambda emit: self.service.stop_vm(ref, emit), attached=False)

    def restart(self, ref: str) -> OperationView:
        """Begin to stop and start a VM."""
        return self._begin(f"restart {ref}", lambda emit: self.service.restart_vm(ref, emit), attached=False)

    def kill(self, ref: str) -> OperationView:
        """Begin to end a VM at once."""
        return self._begin(f"kill {ref}", lambda emit: self.service.kill_vm(ref, emit), attached=False)

    def change(self, ref: str, change: VmChange) -> OperationView:
        """Begin to change a VM."""
        return self._begin(f"change {ref}", lambda emit: self.service.change_vm(ref, change, emit), attached=False)

    def fork(self, ref: str, count: int, name: str | None) -> OperationView:
        """Begin to fork a VM."""
        return self._begin(f"fork {ref}", lambda emit: self.service.fork_vm(ref, count, name, emit), attached=False)

    def build_template(self, image: str, sizes: Sizes) -> OperationView:
        """Begin to make a template."""
        what = f"make a template of {image}"
        return self._begin(what, lambda emit: self.service.build_template(image, sizes, emit), attached=False)

    def prune(self, request: PruneRequest) -> OperationView:
        """Begin to prune the cache. Stops when nobody follows it any more."""
        return self._begin("prune the cache", lambda emit: self.service.cache_prune(request, emit), attached=True)

    def verify(self, *, repair: bool) -> OperationView:
        """Begin to verify the cache. Stops when nobody follows it any more."""
        return self._begin(
            "verify the cache", lambda emit: self.service.cache_verify(emit, repair=repair), attached=True
        )

    def begin(self, what: str, work: Callable[[Emit], Awaitable[object]]) -> OperationView:
        """Begin what stops when nobody follows it any more."""
        return self._begin(what, work, attached=True)

    def shutdown(self, *, if_idle: bool) -> ShutdownView:
        """Ask the daemon to go. VMs stay."""
        busy = [operation.what for operation in self.operations.under_way()]
        if len(self.sessions):
            busy.append(f"{len(self.sessions)} open session(s)")
        if len(self.executions):
            busy.append(f"{len(self.executions)} running command(s)")
        if if_idle and busy:
            return ShutdownView(stopping=False, reason=", ".join(busy))
        self.stop_requested.set()
        return ShutdownView(stopping=True)

    async def wind_down(self) -> None:
        """End commands, end sessions without deleting VMs, cancel operations and wait until they are undone."""
        self.executions.stop()
        self.sessions.stop()
        await self.operations.stop(STOP_DEADLINE_S)

    async def stop_when_idle(self) -> None:
        """Ask the daemon to go once nobody has needed it for `idle_s`. A running VM needs it."""
        while True:
            quiet_s = anyio.current_time() - self._last_request
            if quiet_s < self._settings.idle_s:
                await anyio.sleep(self._settings.idle_s - quiet_s)
                continue
            if any(vm.state == RUNNING for vm in await self.service.list_vms()):
                self.touch()
            elif self.shutdown(if_idle=True).stopping:
                return
            else:
                self.touch()

    def _begin(self, what: str, work: Callable[[Emit], Awaitable[object]], *, attached: bool) -> OperationView:
        operation = self.operations.start(what, work, attached=attached)
        return OperationView(operation.id, operation.what)

    async def _abandon(self, vm_id: str) -> None:
        try:
            await self.delete(vm_id)
        except (NotFoundError, ConflictError):
            return
