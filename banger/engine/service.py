"""What the daemon offers, done by the engine: each method is one plan, or one look at the store."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from banger.debian.namespaces import remove_scratch
from banger.engine import cache
from banger.engine.afresh import nodes_called, refresh
from banger.engine.again import run_well
from banger.engine.bench_view import bench_view
from banger.engine.doctor import check_host
from banger.engine.faults import checkpoint_from
from banger.engine.frozen import Frozen
from banger.engine.image_service import ImageService
from banger.engine.images import Shelf
from banger.engine.kernels import Kernels
from banger.engine.names import pick_name
from banger.engine.observe import Emit
from banger.engine.pools import Pools, open_pools
from banger.engine.preview import preview
from banger.engine.probe import probe_vm
from banger.engine.prune import prune
from banger.engine.recovery import recover
from banger.engine.run import Engine
from banger.engine.setups import find_setup, hold_setup
from banger.engine.tell import run_rows, run_view, why_view
from banger.engine.templates import Templates, open_templates, templates_are_on
from banger.engine.views import vm_state, vm_view
from banger.engine.workspaces import Workspaces
from banger.guest.agents import open_agents
from banger.guest.exec_session import ExecSession
from banger.guest.programs import programs_stamp
from banger.host.clock import boot_id
from banger.host.config_file import user_config
from banger.host.login_key import login_public_key
from banger.host.sshkeys import ensure_key_pair
from banger.host.tools import get_tool
from banger.host.worker import has_worker
from banger.model.action import Scope
from banger.model.cache import (
    CacheEntryView,
    CacheFilter,
    CacheUsageView,
    PruneRequest,
    PruneView,
    VerifyView,
)
from banger.model.errors import BangerError, ConflictError
from banger.model.exec import ExecRequest
from banger.model.handles import CopiedFiles
from banger.model.history import BenchView, RunRow, RunView, WhyView
from banger.model.kernel import ImportRequest, KernelView
from banger.model.kernel_source import KernelChoice
from banger.model.views import CheckView, PlanView
from banger.model.vm import VmRequest, VmView, check_vm_name
from banger.model.workspace import BranchView, ExportView, PreparedView, PrepareRequest
from banger.plan.create import plan_create
from banger.plan.kernel import DEFAULT_CHOICE
from banger.plan.machine import HostFacts
from banger.plan.setup import Setup
from banger.plan.start import plan_start
from banger.store.state import open_state
from banger.store.vms import VmRecord
from banger.vm import AGENT_SOCKET
from banger.vm.forwarding import check_forward, refused
from banger.vm.lifecycle import VmState
from banger.vm.ports import can_listen

_BENCH_RUNS = 50
_AGENT_DEADLINE_S = 10.0


class EngineService(Frozen):
    """The one `Service` that is not a fake."""

    def __init__(self, engine: Engine, templates: Templates, shelf: Shelf, authorized_key: str) -> None:
        self._state = engine.state
        self._engine = engine
        self._templates = templates
        self._kernels = Kernels(engine)
        self._authorized_key = authorized_key
        self._workspaces = Workspaces(engine)
        self.shelf = shelf
        self.images = ImageService(engine, shelf, self._facts)
        self.pools = Pools(engine, templates, lambda request: self._facts(self._kernels.choice(request)), self._drop)
        self._busy: dict[str, VmState] = {}
        self._locks: dict[str, anyio.Lock] = {}

    async def create_vm(self, request: VmRequest, emit: Emit) -> VmView:
        """Make a VM and wait until it can be used. If it cannot be made, or the caller goes away, nothing is left."""
        for forward in request.ports:
            if not can_listen(check_forward(forward)):
                raise refused(forward)
        name = check_vm_name(request.name) if request.name else pick_name(self._state.vms.names())
        await self.shelf.have_for(request, emit, self._facts())
        vm, waited = uuid.uuid4().hex, None
        try:
            with ExitStack() as held:
                host = self._facts(self._kernels.choice(request))
                setup = await hold_setup(self._state, request, emit, held)
                if setup is None:
                    waited = self.pools.take(request)
                vm = waited or vm
                held.enter_context(self._doing(vm, VmState.CREATING))
                if request.refresh:
                    await refresh(self._engine, plan_create(request, vm=vm, name=name, host=host, setup=setup), emit)
                if not await self._restore(request, vm, name, host, emit, setup):
                    if waited:
                        await self._drop(vm)
                    await self._boot(request, vm, name, host, emit, setup)
                self._kernels.keep(request)
        except BangerError as error:
            if waited:  # what was there before is there still
                await self._drop(vm)
            self._name_vm(error, vm, name)
            raise
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):  # it may have come up in the very moment of being cancelled
                await self._release(vm, "vm.delete", Scope.VM, emit, graceful=False)
            raise
        return await self.show_vm(vm)

    async def _boot(
        self, request: VmRequest, vm: str, name: str, host: HostFacts, emit: Emit, setup: Setup | None
    ) -> None:
        """Make a VM that boots, and behind it a template for the next one."""
        plan = plan_create(request, vm=vm, name=name, host=host, setup=setup)
        values = await run_well(self._engine, plan, emit, nodes_called(plan, request.rebuild))
        self._tell_skipped(values, emit)
        if not request.cold:
            self._templates.make_behind(request.image, request.sizes, host, setup)

    async def start_vm(self, ref: str, emit: Emit) -> VmView:
        """Start a stopped VM; a running one is left alone."""
        record = self._state.vms.find(ref)
        async with self._alone_with(record, VmState.STARTING):
            found, _ = vm_state(self._state.journal.of_vm(record.id))
            if found is not VmState.RUNNING:
                await self._release(record.id, "vm.stop", Scope.SESSION, emit, graceful=False)
                host = self._facts(self._kernels.choice(record.request))
                plan = plan_start(record.request, vm=record.id, name=record.name, host=host)
                try:
                    self._tell_skipped(await run_well(self._engine, plan, emit), emit)
                except BangerError as error:
                    self._name_vm(error, record.id, record.name)
                    raise
        return await self.show_vm(record.id)

    async def stop_vm(self, ref: str, emit: Emit) -> VmView:
        """Stop a VM, keeping its disks."""
        record = self._state.vms.find(ref)
        async with self._alone_with(record, VmState.STOPPING):
            await self._release(record.id, "vm.stop", Scope.SESSION, emit, graceful=True)
        return await self.show_vm(record.id)

    async def delete_vm(self, ref: str, emit: Emit, *, if_stopped: bool = False) -> None:
        """Stop a VM at once and remove everything that is its own. `if_stopped`: raises ConflictError if it runs."""
        record = self._state.vms.find(ref)
        async with self._alone_with(record, VmState.DELETING):
            if if_stopped and vm_state(self._state.journal.of_vm(record.id))[0] is VmState.RUNNING:
                raise ConflictError(f"VM {record.name!r} runs", hint=f"banger vm delete {record.name}")
            await self._release(record.id, "vm.delete", Scope.VM, emit, graceful=False)
        self._locks.pop(record.id, None)
        self._workspaces.forget(record.id)

    async def list_vms(self) -> list[VmView]:
        """All VMs, the oldest first."""
        records = [record for record in self._state.vms.all() if not record.request.pooled]
        return [vm_view(self._state, record, self._busy.get(record.id)) for record in records]

    async def show_vm(self, ref: str) -> VmView:
        """One VM."""
        record = self._state.vms.find(ref)
        return vm_view(self._state, record, self._busy.get(record.id))

    async def exec_vm(self, ref: str, request: ExecRequest) -> ExecSession:
        """Start a command in a running VM, through its agent."""
        record = self._running(ref)
        socket = self._state.vms_dir / record.id / AGENT_SOCKET
        agent = await self._engine.agents.channel(socket, deadline_s=_AGENT_DEADLINE_S)
        return await agent.exec(request)

    async def prepare_workspace(self, ref: str, request: PrepareRequest, emit: Emit) -> PreparedView:
        """Bring the checkout of a running VM up to date."""
        record = self._running(ref)
        with self._named(record):
            return await self._workspaces.prepare(record, request, emit)

    async def export_workspace(self, ref: str, path: str | None) -> ExportView:
        """Take in what was done in the checkout of a running VM, to be looked at."""
        record = self._running(ref)
        with self._named(record):
            return await self._workspaces.export(record, path)

    async def make_workspace_branch(self, ref: str, export: str, name: str | None) -> BranchView:
        """Make an export a branch of the user's repository."""
        return await self._workspaces.make_branch(self._state.vms.find(ref), export, name)

    async def plan_create(self, request: VmRequest) -> PlanView:
        """Say what `create_vm` would do."""
        name = check_vm_name(request.name) if request.name else "vm"
        if name in self._state.vms.names():
            raise ConflictError(f"there is a VM called {name} already", hint=f"banger vm show {name}")
        host = self._facts(self._kernels.choice(request))
        setup = await find_setup(self._state, request, keep=False)
        if request.refresh:
            asked = plan_create(request, vm="0" * 32, name=name, host=host, setup=setup)
            await refresh(self._engine, asked, lambda _: None)
        is_cold = request.cold or request.rebuild or host.has_worker
        from_template = not is_cold and self._templates.find(request.image, request.sizes, host, setup) is not None
        plan = plan_create(request, vm="0" * 32, name=name, host=host, from_template=from_template, setup=setup)
        self._engine.refuse_what_cannot_fit(plan.graph())
        return preview(self._state, plan, self._engine.capacities, nodes_called(plan, request.rebuild))

    async def list_kernels(self) -> list[KernelView]:
        """Every kernel that a VM could have."""
        return self._kernels.all()

    async def show_kernel(self, name: str) -> KernelView:
        """One kernel."""
        return self._kernels.show(name)

    async def pull_kernel(self, name: str, emit: Emit) -> KernelView:
        """Fetch a kernel and keep it."""
        return await self._kernels.pull(name, emit)

    async def import_kernel(self, request: ImportRequest, emit: Emit) -> KernelView:
        """Take a kernel in from files."""
        return await self._kernels.take(request, emit)

    async def export_kernel(self, name: str, directory: str, emit: Emit) -> None:
        """Write a kernel into a new directory."""
        await self._kernels.export(name, Path(directory), emit)

    async def remove_kernel(self, name: str) -> KernelView:
        """Forget a kernel."""
        if self._busy or self._templates.is_busy:
            raise ConflictError("an operation is running; no kernel can be removed now", hint="banger vm list")
        return self._kernels.remove(name)

    async def bench(self) -> BenchView:
        """Stage times of the creates so far."""
        history = self._state.history
        found = [run for run in history.runs(_BENCH_RUNS, "vm.create") if run.outcome == "succeeded"]
        return bench_view(run_view(self._state, run.id, self._engine.capacities) for run in reversed(found))

    async def list_runs(self, limit: int, what: str | None) -> list[RunRow]:
        """Past runs, the newest first."""
        return run_rows(self._state, limit, what)

    async def show_run(self, ref: str) -> RunView:
        """One run with its times."""
        return run_view(self._state, ref, self._engine.capacities)

    async def why(self, node: str, run: str | None, against: str | None) -> WhyView:
        """Why a node ran."""
        return why_view(self._state, node, run, against)

    async def cache_list(self, wanted: CacheFilter) -> list[CacheEntryView]:
        """Artifacts in the CAS, last used first."""
        return await anyio.to_thread.run_sync(cache.entries, self._state, wanted)

    async def cache_show(self, prefix: str) -> CacheEntryView:
        """One artifact, by digest or the beginning of it."""
        return cache.find(self._state, prefix)

    async def cache_usage(self) -> CacheUsageView:
        """What the cache takes, by kind."""
        return await anyio.to_thread.run_sync(cache.usage, self._state)

    async def cache_pin(self, prefix: str, note: str) -> CacheEntryView:
        """Keep an artifact until it is unpinned."""
        return cache.pin(self._state, prefix, note)

    async def cache_unpin(self, prefix: str) -> CacheEntryView | None:
        """Let go of a pin; None if its artifact is gone."""
        return cache.unpin(self._state, prefix)

    async def cache_verify(self, emit: Emit, *, repair: bool) -> VerifyView:
        """Read everything, and put right what can be."""
        return await cache.verify(self._state, emit, repair=repair)

    async def cache_prune(self, request: PruneRequest, emit: Emit) -> PruneView:
        """Remove what the request means and nothing keeps."""
        return await prune(self._state, request, emit)

    async def doctor(self) -> list[CheckView]:
        """Look at the host."""
        return await check_host(self._state.root, self._kernels.all)

    async def probe(self, emit: Emit) -> list[CheckView]:
        """Make a VM, look at what it can do, and remove it."""
        return await probe_vm(self, self._state.clock, emit)

    def _running(self, ref: str) -> VmRecord:
        """A VM in which something is to be run. Raises ConflictError unless it runs."""
        record = self._state.vms.find(ref)
        found, _ = vm_state(self._state.journal.of_vm(record.id))
        state = self._busy.get(record.id, found)
        if state is not VmState.RUNNING:
            raise ConflictError(
                f"VM {record.name!r} is {state}: nothing can be run in it", hint=f"banger vm start {record.name}"
            )
        return record

    @contextmanager
    def _named(self, record: VmRecord) -> Iterator[None]:
        try:
            yield
        except BangerError as error:
            self._name_vm(error, record.id, record.name)
            raise

    def _tell_skipped(self, values: Mapping[str, Any], emit: Emit) -> None:
        """Say which of the user's files did not go into the guest."""
        copied: CopiedFiles | None = values.get("guest.files")
        if copied is None:
            return
        more = copied.warned - len(copied.warnings)
        for text in [*copied.warnings, *([f"{more} more files were skipped"] if more else [])]:
            emit({"event": "notice", "at": self._state.clock.monotonic(), "text": text})

    def _name_vm(self, error: BangerError, vm: str, name: str) -> None:
        """Put the VM's name into a hint that was written where nobody knew it; a VM that is gone has no logs."""
        if error.hint and "<vm>" in error.hint:
            there = any(record.id == vm for record in self._state.vms.all())
            error.hint = error.hint.replace("<vm>", name) if there else "banger doctor"

    @contextmanager
    def _doing(self, vm: str, what: VmState) -> Iterator[None]:
        self._busy[vm] = what
        try:
            yield
        finally:
            del self._busy[vm]

    @asynccontextmanager
    async def _alone_with(self, record: VmRecord, what: VmState) -> AsyncIterator[None]:
        """One operation on a VM at a time. Raises ConflictError while it is being made."""
        if self._busy.get(record.id) is VmState.CREATING:
            raise ConflictError(f"{record.name} is being created", hint="wait, or stop that command with Ctrl-C")
        async with self._locks.setdefault(record.id, anyio.Lock()):
            self._state.vms.find(record.id)  # it may have gone while we waited
            with self._doing(record.id, what):
                yield

    async def _release(self, vm: str, what: str, scope: Scope, emit: Emit, *, graceful: bool) -> None:
        """Undo the leases of a VM that live no longer than `scope`."""
        leases = [lease for lease in self._state.journal.of_vm(vm) if lease.scope <= scope]
        if leases:
            await self._engine.release(what, vm, leases, emit, graceful=graceful)

    def _facts(self, kernel: KernelChoice = DEFAULT_CHOICE) -> HostFacts:
        qemu = get_tool("qemu-system-x86_64").stat()
        return HostFacts(
            boot_id=boot_id(),
            vmm_stamp=f"{qemu.st_ino}:{qemu.st_size}:{qemu.st_mtime_ns}",
            programs_stamp=programs_stamp(),
            authorized_key=login_public_key(self._state.client_key, self._authorized_key),
            kernel=kernel,
            file_sync=user_config().file_sync,
            images=self.shelf,
            has_worker=has_worker(),
        )


@asynccontextmanager
async def open_service(state_dir: Path) -> AsyncIterator[EngineService]:
    """Open a state directory, undo what a crash has left in it, and serve."""
    state = open_state(state_dir)
    try:
        for left in list(state.scratch.root.iterdir()):
            await remove_scratch(left)
        async with open_agents() as agents:
            engine = Engine(state, checkpoint=checkpoint_from(os.environ), connections=agents)
            await recover(engine, lambda _: None)
            async with open_templates(engine, templates_are_on) as templates:
                service = EngineService(engine, templates, Shelf(engine), await ensure_key_pair(state.client_key))
                async with open_pools(service.pools):
                    yield service
    finally:
        state.close()
