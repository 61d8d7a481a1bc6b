"""What the daemon serves: the interface between HTTP and the engine.

Every method is a coroutine on the daemon's event loop. `emit` takes one progress event; call it on that loop. Being
cancelled means: stop, undo what was begun, re-raise. Failures are BangerError, alone or in an exception group.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from banger.daemon.image_service import ImageService
from banger.guest.exec_session import ExecSession
from banger.model.cache import (
    CacheEntryView,
    CacheFilter,
    CacheUsageView,
    PruneRequest,
    PruneView,
    VerifyView,
)
from banger.model.exec import ExecRequest
from banger.model.history import BenchView, RunRow, RunView, WhyView
from banger.model.kernel import ImportRequest, KernelView
from banger.model.verbs import ForwardsView, HealthView, PortsView, StatsView, VmChange
from banger.model.views import CheckView, PlanView, PoolView, TemplateView
from banger.model.vm import Forward, Sizes, VmRequest, VmView
from banger.model.workspace import BranchView, ExportView, PreparedView, PrepareRequest

Emit: TypeAlias = Callable[[Mapping[str, Any]], None]
"""Takes one event of banger.model.progress."""


class VmVerbs(Protocol):
    """What is done to a VM that is there, and how it is looked at. `ref` as for `Service`."""

    async def restart_vm(self, ref: str, emit: Emit) -> VmView:
        """Stop a VM, and start it."""
        ...

    async def kill_vm(self, ref: str, emit: Emit) -> VmView:
        """End a VM at once, keeping its disks: a power cut."""
        ...

    async def change_vm(self, ref: str, change: VmChange, emit: Emit) -> VmView:
        """Change its name, or the shape of a stopped one. Raises ConflictError for a name in use or a VM that runs."""
        ...

    async def health_vm(self, ref: str) -> HealthView:
        """How it is; that it does not answer is an answer."""
        ...

    async def stats_vm(self, ref: str) -> StatsView:
        """What it uses."""
        ...

    async def ports_vm(self, ref: str) -> PortsView:
        """What listens in it, made reachable. Raises ConflictError unless it runs."""
        ...

    async def forwards_vm(self, ref: str) -> ForwardsView:
        """What is forwarded to it now. Raises ConflictError unless it runs."""
        ...

    async def forward_vm(self, ref: str, forward: Forward) -> ForwardsView:
        """Forward a port until it stops. Raises ConflictError if the port cannot be had."""
        ...

    async def unforward_vm(self, ref: str, forward: Forward) -> ForwardsView:
        """Forward it no longer. Raises NotFoundError if it was not."""
        ...


class Service(VmVerbs, Protocol):
    """`ref` is a VM's name or id; NotFoundError if there is none such."""

    @property
    def images(self) -> ImageService:
        """All about images."""
        ...

    async def create_vm(self, request: VmRequest, emit: Emit) -> VmView:
        """Make a VM and wait until its guest answers. Raises ConflictError if the name is taken."""
        ...

    async def start_vm(self, ref: str, emit: Emit) -> VmView:
        """Start a stopped VM. A running one is left alone and returned."""
        ...

    async def stop_vm(self, ref: str, emit: Emit) -> VmView:
        """Stop a VM, keeping its disk. A stopped one is left alone and returned."""
        ...

    async def delete_vm(self, ref: str, emit: Emit, *, if_stopped: bool = False) -> None:
        """Stop a VM and remove everything that is its own. `if_stopped`: raises ConflictError if it runs."""
        ...

    async def list_vms(self) -> list[VmView]:
        """All VMs, oldest first."""
        ...

    async def show_vm(self, ref: str) -> VmView:
        """One VM."""
        ...

    async def exec_vm(self, ref: str, request: ExecRequest) -> ExecSession:
        """Start a command in a running VM. Whoever takes the session closes it."""
        ...

    async def prepare_workspace(self, ref: str, request: PrepareRequest, emit: Emit) -> PreparedView:
        """Bring the checkout of a running VM up to date. Raises ConflictError if it has changes that clash."""
        ...

    async def export_workspace(self, ref: str, path: str | None) -> ExportView:
        """Take in what was done in the checkout of a running VM, to be looked at; `path`: in the user's repository."""
        ...

    async def make_workspace_branch(self, ref: str, export: str, name: str | None) -> BranchView:
        """Make an export a new branch of the user's repository. Raises ConflictError if there is one of that name."""
        ...

    async def plan_create(self, request: VmRequest) -> PlanView:
        """Say what `create_vm` would do. Changes nothing."""
        ...

    async def bench(self) -> BenchView:
        """Stage timings of the creates so far: cold, warm and restored ones apart."""
        ...

    async def list_runs(self, limit: int, what: str | None) -> list[RunRow]:
        """The newest runs, or those of one sort (`vm.create`), the newest first."""
        ...

    async def show_run(self, ref: str) -> RunView:
        """One run by its id, the beginning of it, or `last`. Raises NotFoundError, or SpecError if several begin so."""
        ...

    async def why(self, node: str, run: str | None, against: str | None) -> WhyView:
        """Why a node ran in `run` (None: the newest that has it), beside the run `against` (None: the one of the same
        sort before it). Raises NotFoundError for a run or node that is not kept."""
        ...

    async def cache_list(self, wanted: CacheFilter) -> list[CacheEntryView]:
        """Artifacts in the CAS for which the filter holds, last used first."""
        ...

    async def cache_show(self, prefix: str) -> CacheEntryView:
        """One artifact, by digest or a beginning of it. Raises SpecError if several begin so."""
        ...

    async def cache_usage(self) -> CacheUsageView:
        """What the cache takes, by kind."""
        ...

    async def cache_pin(self, prefix: str, note: str) -> CacheEntryView:
        """Keep one artifact, whatever else needs it, until it is unpinned. Raises as `cache_show`."""
        ...

    async def cache_unpin(self, prefix: str) -> CacheEntryView | None:
        """Let go of a pin; None if its artifact is gone. Raises NotFoundError if there is no such pin."""
        ...

    async def cache_verify(self, emit: Emit, *, repair: bool) -> VerifyView:
        """Read everything in the cache and say what is wrong; with `repair`, put right what can be."""
        ...

    async def cache_prune(self, request: PruneRequest, emit: Emit) -> PruneView:
        """Remove artifacts that nothing needs, as far as the request goes. Operations may run meanwhile."""
        ...

    async def fork_vm(self, ref: str, count: int, name: str | None, emit: Emit) -> list[VmView]:
        """Freeze a running VM, which goes on, and start `count` VMs from there. All of them come up, or none stays."""
        ...

    async def list_pools(self) -> list[PoolView]:
        """VMs that wait for whoever asks for such a one, by kind."""
        ...

    async def keep_pool(self, image: str, sizes: Sizes, count: int) -> list[PoolView]:
        """Have so many of a kind ready from now on; 0 drops those that are."""
        ...

    async def list_templates(self) -> list[TemplateView]:
        """Frozen VMs, last used first."""
        ...

    async def build_template(self, image: str, sizes: Sizes, emit: Emit) -> TemplateView:
        """Freeze a VM of a shape, unless there is one."""
        ...

    async def remove_template(self, prefix: str) -> TemplateView:
        """Remove one, by its digest or a beginning of it; NotFoundError unless exactly one begins so."""
        ...

    async def list_kernels(self) -> list[KernelView]:
        """Every kernel that a VM could have, by name."""
        ...

    async def show_kernel(self, name: str) -> KernelView:
        """One kernel. Raises NotFoundError."""
        ...

    async def pull_kernel(self, name: str, emit: Emit) -> KernelView:
        """Fetch a kernel of the catalog, and keep it. Raises NotFoundError."""
        ...

    async def import_kernel(self, request: ImportRequest, emit: Emit) -> KernelView:
        """Take a kernel in from files. Raises SpecError if no VM can boot from it, ConflictError for a name in use."""
        ...

    async def export_kernel(self, name: str, directory: str, emit: Emit) -> None:
        """Write a kernel into a new directory, fetching it first if it is not here. Raises ConflictError."""
        ...

    async def remove_kernel(self, name: str) -> KernelView:
        """Forget a kernel. Raises ConflictError that names the VMs which use it."""
        ...

    async def doctor(self) -> list[CheckView]:
        """Look at the host. A check that fails is an answer, not an error."""
        ...

    async def probe(self, emit: Emit) -> list[CheckView]:
        """Make a VM, look at what it can do, and remove it. A check that fails is an answer, not an error."""
        ...


OpenService: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Service]]
"""Opens the service of a state directory: `banger.engine.service.open_service`."""
