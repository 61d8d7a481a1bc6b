"""What is done with frozen VMs: VMs are restored, forked and kept ready; templates are listed, made and removed."""

from collections.abc import Mapping
from typing import Any

from banger.engine.forks import fork
from banger.engine.observe import Emit
from banger.engine.pools import Pools
from banger.engine.templates import FROM_TEMPLATE, Templates
from banger.engine.verbs import Verbs
from banger.model.action import Scope
from banger.model.errors import BangerError, ConflictError, TransientError
from banger.model.kernel_source import KernelChoice
from banger.model.views import PoolView, TemplateView
from banger.model.vm import Sizes, VmRequest, VmView
from banger.plan.create import plan_create
from banger.plan.kernel import DEFAULT_CHOICE
from banger.plan.machine import HostFacts
from banger.plan.setup import Setup
from banger.vm.lifecycle import VmState


class Frozen(Verbs):
    """A part of `EngineService`, which has what is only declared here."""

    _templates: Templates
    pools: Pools

    def _facts(self, kernel: KernelChoice = DEFAULT_CHOICE) -> HostFacts:
        raise NotImplementedError

    def _tell_skipped(self, values: Mapping[str, Any], emit: Emit) -> None:
        raise NotImplementedError

    async def _restore(
        self, request: VmRequest, vm: str, name: str, host: HostFacts, emit: Emit, setup: Setup | None
    ) -> bool:
        """Make a VM from a template, if there is one that works; one that does not is forgotten, and said to be."""
        is_cold = request.cold or request.rebuild or host.has_worker  # a template stands on what was made before
        template = None if is_cold else self._templates.find(request.image, request.sizes, host, setup)
        if template is None:
            return False
        plan = plan_create(request, vm=vm, name=name, host=host, from_template=True, setup=setup)
        try:
            self._tell_skipped(await self._engine.run(plan, emit), emit)
        except BangerError as error:
            if isinstance(error, TransientError) or error.node not in FROM_TEMPLATE:
                raise
            self._templates.forget(template, error.message)
            said = error.message.partition("\n")[0]
            text = f"the template of this VM cannot be used and is forgotten ({said}); booting instead"
            emit({"event": "notice", "at": self._state.clock.monotonic(), "text": text})
            return False
        return True

    async def fork_vm(self, ref: str, count: int, name: str | None, emit: Emit) -> list[VmView]:
        """Freeze a running VM and start others from there."""
        record = self._running(ref)
        async with self._alone_with(record, VmState.RUNNING):
            made = await fork(self._engine, record, count, name, self._facts, emit)
        return [await self.show_vm(vm) for vm in made]

    async def list_pools(self) -> list[PoolView]:
        """VMs that wait, by kind."""
        return self.pools.views()

    async def keep_pool(self, image: str, sizes: Sizes, count: int) -> list[PoolView]:
        """Have so many of a kind ready."""
        return self.pools.keep(image, sizes, count)

    async def list_templates(self) -> list[TemplateView]:
        """Frozen VMs, the one that was used last first."""
        return self._templates.all(self._facts())

    async def build_template(self, image: str, sizes: Sizes, emit: Emit) -> TemplateView:
        """Freeze a VM of a shape, unless there is one."""
        return await self._templates.make(image, sizes, self._facts(), emit)

    async def remove_template(self, prefix: str) -> TemplateView:
        """Remove a frozen VM; VMs that were started from it go on."""
        if self._busy or self._templates.is_busy:
            raise ConflictError("an operation is running; no template can be removed now", hint="banger vm list")
        return self._templates.remove(prefix, self._facts())

    async def _drop(self, vm: str) -> None:
        await self._release(vm, "vm.delete", Scope.VM, lambda _: None, graceful=False)
