"""Pools: VMs that were restored before anybody asked, and wait without a name for whoever asks for such a one.

A member is what the first nodes of a VM's own plan make, under the id that the VM will have: to take it is to run the
whole plan, which finds these effects in place. One whose template is no longer the current one is dropped. What is
wanted is in `pools.json`; which members there are, the records of VMs say, so that the next daemon finds them.
"""

import contextlib
import logging
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import anyio
import msgspec

from banger.engine.run import Engine
from banger.engine.templates import Templates
from banger.engine.views import vm_state
from banger.model.digest import Canonical, Digest, digest_of_value
from banger.model.errors import BangerError
from banger.model.views import PoolView
from banger.model.vm import Sizes, VmRequest
from banger.plan.create import plan_create
from banger.plan.machine import HostFacts
from banger.store.state import State
from banger.store.vms import VmRecord
from banger.vm.lifecycle import VmState

log = logging.getLogger(__name__)

FILE = "pools.json"
MOST = 16
LOOK_EVERY_S = 30.0
NAME = "pool-"
"""What the name of a member begins with, until it is taken."""


class _Wanted(msgspec.Struct, frozen=True):
    image: str
    sizes: Sizes
    count: int

    @property
    def request(self) -> VmRequest:
        """What is in the records of such members."""
        return VmRequest(self.sizes, image=self.image, pooled=True)


class Pools:
    """The pools of one state directory."""

    def __init__(
        self,
        engine: Engine,
        templates: Templates,
        host: Callable[[VmRequest], HostFacts],
        release: Callable[[str], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._state: State = engine.state
        self._templates = templates
        self._host = host
        self._release = release
        self._file: Path = engine.state.root / FILE
        self._taken: set[str] = set()
        self._making: set[str] = set()
        self._changed = anyio.Event()

    def keep(self, image: str, sizes: Sizes, count: int) -> list[PoolView]:
        """Have so many of a kind ready from now on; none: drop those that are."""
        wanted = [one for one in self._wanted() if (one.image, one.sizes) != (image, sizes)]
        if count:
            wanted.append(_Wanted(image, sizes, count))
        made = self._file.with_name(f".{FILE}.new")
        made.write_bytes(msgspec.json.encode(wanted))
        os.replace(made, self._file)  # noqa: PTH105 - one rename
        self._changed.set()
        return self.views()

    def views(self) -> list[PoolView]:
        """Every pool."""
        members = self._members()
        return [
            PoolView(one.image, one.sizes, one.count, sum(self._fits(member, one) for member in members))
            for one in self._wanted()
        ]

    def take(self, request: VmRequest) -> str | None:
        """The id of a VM that waits for such a request; it is the caller's from here on."""
        if request.cold or request.kernel or request.refresh or request.rebuild or not request.nat:
            return None
        for wanted in self._wanted():
            if (wanted.image, wanted.sizes) == (request.image, request.sizes):
                for member in self._members():
                    if self._fits(member, wanted):
                        self._taken.add(member.id)
                        self._changed.set()
                        return member.id
        return None

    async def settle(self) -> None:
        """Drop what is stale or too many, and make what is missing."""
        wanted = self._wanted()
        for member in self._members():
            pool = next((one for one in wanted if one.request == replace(member.request, name=None)), None)
            before = [one for one in self._members() if one.request == member.request and one.id <= member.id]
            if pool is None or not self._fits(member, pool) or len(before) > pool.count:
                log.info("pool.dropped vm=%s", member.id)
                await self._release(member.id)
        for pool in wanted:
            while sum(self._fits(member, pool) for member in self._members()) < pool.count:
                if not await self._make(pool):
                    return

    async def drop_nameless(self) -> None:
        """Undo what is left of VMs that have no record: a crash came while one was taken from its pool."""
        named = {record.id for record in self._state.vms.all()}
        for vm in {lease.vm_id for lease in self._state.journal.all() if lease.vm_id} - named:
            with contextlib.suppress(BangerError):  # it stays in the journal for the next time
                await self._release(vm)

    async def run(self) -> None:
        """Keep the pools as they are wanted."""
        while True:
            self._changed = anyio.Event()
            with contextlib.suppress(BangerError):  # it is tried again
                await self.settle()
            with anyio.move_on_after(LOOK_EVERY_S):
                await self._changed.wait()

    async def _make(self, pool: _Wanted) -> bool:
        host = self._host(pool.request)
        if self._templates.find(pool.image, pool.sizes, host) is None:
            self._templates.make_behind(pool.image, pool.sizes, host)
            return False
        vm = uuid.uuid4().hex
        plan = plan_create(pool.request, vm=vm, name=f"{NAME}{vm[:12]}", host=host, from_template=True, nameless=True)
        self._making.add(vm)
        try:
            await self._engine.run(plan, lambda _: None)
        except BangerError as error:
            log.warning("pool.failed reason=%s", error.message)
            return False
        finally:
            self._making.discard(vm)
        return True

    def _members(self) -> list[VmRecord]:
        return [one for one in self._state.vms.all() if one.request.pooled and one.id not in self._taken | self._making]

    def _fits(self, member: VmRecord, pool: _Wanted) -> bool:
        """Whether a member is one of this pool's, waits, and was restored from the template that is current now."""
        if member.request != pool.request:
            return False
        leases = self._state.journal.of_vm(member.id)
        template = self._templates.current(pool.image, pool.sizes, self._host(pool.request))
        restored = [one for one in leases if one.kind == "vm.restore" and one.state == "held"]
        return (
            template is not None
            and vm_state(leases)[0] is VmState.RUNNING
            and any(_digest(one.inputs["template"].value) == template for one in restored)
        )

    def _wanted(self) -> list[_Wanted]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[_Wanted])
        except FileNotFoundError:
            return []
        except msgspec.MsgspecError as error:
            log.warning("pool.unreadable file=%s reason=%s", self._file, error)
            return []


def _digest(value: object) -> Digest:
    return digest_of_value(cast("Canonical", msgspec.to_builtins(value)))


@asynccontextmanager
async def open_pools(pools: Pools) -> AsyncIterator[Pools]:
    """Keep pools for the length of a block; members stay for the next daemon, one half made goes."""
    await pools.drop_nameless()
    async with anyio.create_task_group() as group:
        group.start_soon(pools.run)
        try:
            yield pools
        finally:
            group.cancel_scope.cancel()
