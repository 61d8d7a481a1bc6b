"""Frozen VMs: whether there is one for a request, and making those that are missed, behind the user's back.

A template is an artifact like any other: what is said of one here is read from the action cache, by its digest.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import anyio.abc
import msgspec

from banger.engine.known import look_up
from banger.engine.observe import Emit
from banger.engine.run import Engine
from banger.host.config_file import user_config
from banger.model.digest import Digest, digest_of_value
from banger.model.errors import BangerError, NotFoundError, StoreError
from banger.model.handles import FrozenVm, LockFile
from banger.model.views import TemplateView
from banger.model.vm import Sizes
from banger.plan import Plan
from banger.plan.machine import HostFacts
from banger.plan.setup import Setup
from banger.plan.template import TEMPLATE_NODE, plan_template
from banger.store.actions import Record
from banger.store.state import State
from banger.tasks.vm_setup import VmSetup

log = logging.getLogger(__name__)


FROM_TEMPLATE = frozenset(
    {"disk.rootfs", "vm.restore", "guest.agent", "guest.entropy", "guest.clock", "guest.identity"}
)
"""Nodes whose failure, in a VM that does not boot, is taken for the template's."""


class Templates:
    """Templates of one state directory. Lives inside the task group that it is given.

    `is_on`: whether one may be used now, and made without being asked for.
    """

    def __init__(self, engine: Engine, group: anyio.abc.TaskGroup, *, is_on: Callable[[], bool]) -> None:
        self._engine = engine
        self._is_on = is_on
        self._state: State = engine.state
        self._group = group
        self._under_way: set[Digest | None] = set()

    @property
    def is_busy(self) -> bool:
        """Whether one is being made."""
        return bool(self._under_way)

    def find(self, image: str, sizes: Sizes, host: HostFacts, setup: Setup | None = None) -> Digest | None:
        """The action digest of a template that is there for such a VM."""
        digest, is_there = self._look(image, sizes, host, setup)
        return digest if is_there and self._is_on() else None

    def current(self, image: str, sizes: Sizes, host: HostFacts) -> Digest | None:
        """The digest of what a template's node puts out that is there for such a VM; as `find`, but for the value."""
        plan = plan_template(image, sizes, host=host)
        output = look_up(self._state, plan, plan.graph()).outputs.get(TEMPLATE_NODE)
        return digest_of_value(output.value) if output is not None and self._is_on() else None

    def forget(self, digest: Digest, reason: str) -> None:
        """Drop a template that turned out to be of no use: the next VM of its kind boots, and a new one is made."""
        log.warning("template.forgotten digest=%s reason=%s", digest, reason)
        self._state.actions.forget(digest)

    def make_behind(self, image: str, sizes: Sizes, host: HostFacts, setup: Setup | None = None) -> None:
        """Make a template when nobody waits for it. One that is there, or under way, is not made again."""
        digest, is_there = self._look(image, sizes, host, setup)
        if self._is_on() and not is_there and digest not in self._under_way:
            self._under_way.add(digest)
            plan = plan_template(image, sizes, host=host, setup=setup)
            self._group.start_soon(self._make_quietly, plan, digest)

    async def make(self, image: str, sizes: Sizes, host: HostFacts, emit: Emit) -> TemplateView:
        """Make a template and say what it is; one that is there is not made again."""
        await self._engine.run(plan_template(image, sizes, host=host), emit)
        digest, _ = self._look(image, sizes, host)
        for record in self._records():
            if record.digest == digest:
                return self._view(record, host)
        raise StoreError("the template went while it was made")

    def all(self, host: HostFacts) -> list[TemplateView]:
        """Every template, the one that was used last first."""
        views = [self._view(record, host) for record in self._records()]
        return sorted(views, key=lambda view: (-view.last_used_at, view.digest))

    def remove(self, prefix: str, host: HostFacts) -> TemplateView:
        """Forget a template and remove its files; a VM that was started from it goes on. Raises NotFoundError."""
        wanted = prefix.removeprefix("sha256:")
        found = [one for one in self._records() if one.digest.removeprefix("sha256:").startswith(wanted)]
        if len(found) != 1:
            many = f"{len(found)} templates' digests begin" if found else "no template's digest begins"
            raise NotFoundError(f"{many} with {prefix[:80]!r}", hint="banger template ls")
        view = self._view(found[0], host)
        self._state.actions.forget(found[0].digest)
        used = {artifact for record in self._state.actions.all() for artifact in record.output.artifacts}
        for artifact in found[0].output.artifacts:
            if artifact not in used:
                self._state.cas.remove(artifact)
        return view

    async def _make_quietly(self, plan: Plan, digest: Digest | None) -> None:
        what = plan.graph().nodes[TEMPLATE_NODE].label
        try:
            await self._engine.run(plan, lambda _: None)
            log.info("template.made what=%s", what)
        except BangerError as error:
            log.warning("template.failed what=%s reason=%s", what, error.message)
        finally:
            self._under_way.discard(digest)

    def _look(
        self, image: str, sizes: Sizes, host: HostFacts, setup: Setup | None = None
    ) -> tuple[Digest | None, bool]:
        plan = plan_template(image, sizes, host=host, setup=setup)
        known = look_up(self._state, plan, plan.graph())
        return known.digests.get(TEMPLATE_NODE), TEMPLATE_NODE in known.outputs

    def _records(self) -> list[Record]:
        return [record for record in self._state.actions.all() if record.kind == TEMPLATE_NODE]

    def _view(self, record: Record, host: HostFacts) -> TemplateView:
        document = self._state.actions.document(record.digest) or {}
        params = msgspec.convert(document.get("params", {}), _Shape)
        image = record.label.partition(",")[0]
        setup, work_bytes = self._setup_of(document)
        sizes = Sizes(params.vcpus, params.memory_mib, work_bytes)
        return TemplateView(
            digest=record.digest,
            image=image,
            vcpus=params.vcpus,
            memory_mib=params.memory_mib,
            size_bytes=self._size(record),
            created_at=record.made_at,
            last_used_at=record.used_at,
            current=self._is_current(record, image, sizes, host, setup),
            setup=setup.label if setup else "",
        )

    def _is_current(self, record: Record, image: str, sizes: Sizes, host: HostFacts, setup: Setup | None) -> bool:
        """Whether a VM of the usual kernel, or of one that the user keeps, would start from it."""
        kernels = [host.kernel, *(kernel.choice for kernel in self._state.kernels.all())]
        return any(
            self._look(image, sizes, replace(host, kernel=kernel), setup) == (record.digest, True) for kernel in kernels
        )

    def _setup_of(self, document: Mapping[str, Any]) -> tuple[Setup | None, int]:
        """What prepared a template's disk, and on a work disk of which size: from the record of the node before it."""
        wanted = document.get("inputs", {}).get("setup")
        for record in self._state.actions.all() if wanted else ():
            if record.kind == VmSetup.kind and record.output.digest == wanted:
                made = msgspec.convert((self._state.actions.document(record.digest) or {}).get("params"), _SetupParams)
                return Setup(made.command, made.locks), made.work_bytes
        return (Setup("?", None) if wanted else None), 0

    def _size(self, record: Record) -> int:
        frozen = msgspec.convert(record.output.value, FrozenVm)
        return sum(self._state.cas.disk_bytes(one.digest) for one in (frozen.memory, frozen.devices, frozen.disk))


def templates_are_on() -> bool:
    """Whether the user wants any, as the configuration says."""
    try:
        return user_config().templates is not False
    except BangerError:  # told by what reads the configuration before anything is made
        return False


@asynccontextmanager
async def open_templates(engine: Engine, is_on: Callable[[], bool]) -> AsyncIterator[Templates]:
    """Have templates; one that is being made at the end is given up, and nothing of it stays."""
    async with anyio.create_task_group() as group:
        try:
            yield Templates(engine, group, is_on=is_on)
        finally:
            group.cancel_scope.cancel()


class _Shape(msgspec.Struct):
    vcpus: int = 0
    memory_mib: int = 0


class _SetupParams(msgspec.Struct):
    command: str
    work_bytes: int
    locks: tuple[LockFile, ...] | None = None
