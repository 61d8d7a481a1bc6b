"""Looks at one VM: how it is, what it uses, what listens in it and what is forwarded to it."""

import anyio
import anyio.to_thread

from banger.engine.listening import reachable
from banger.engine.run import Engine
from banger.engine.views import own_address, vm_state
from banger.guest.channel import AgentChannel
from banger.guest.load import ask_load
from banger.host.usage import Usage, cpu_seconds, disk_bytes, process_usage
from banger.model.errors import BangerError, ConflictError
from banger.model.verbs import ForwardsView, GuestUseView, HealthView, PortsView, StatsView
from banger.model.vm import MIB, Forward
from banger.store.state import State
from banger.store.vms import VmRecord
from banger.vm import AGENT_SOCKET
from banger.vm.forwarding import add_forward, list_forwards, remove_forward
from banger.vm.lifecycle import VmState
from banger.vm.session import ROOT_FILE, WORK_FILE

_HEALTH_DEADLINE_S = 5.0
_SAMPLE_S = 0.25
_NS = 1e9


class Looks:
    """A part of `EngineService`, which has what is only declared here."""

    _state: State
    _engine: Engine
    _authorized_key: str
    _busy: dict[str, VmState]

    async def health_vm(self, ref: str) -> HealthView:
        """Ask a VM's agent how its guest is. That nobody answers is an answer, not an error."""
        record = self._state.vms.find(ref)
        state = self._state_of(record)
        if state is not VmState.RUNNING:
            return HealthView(record.id, record.name, state, healthy=False, reason=f"it is {state}")
        try:
            agent = await self._agent(record, _HEALTH_DEADLINE_S)
            health = await agent.healthz(deadline_s=_HEALTH_DEADLINE_S)
        except BangerError as error:
            return HealthView(record.id, record.name, state, healthy=False, reason=error.message)
        reason = health.failure or (None if health.network_up else "its network is not up")
        return HealthView(
            record.id,
            record.name,
            state,
            healthy=reason is None,
            reason=reason,
            agent=health.version,
            uptime_s=health.uptime_ns / _NS,
            network_up=health.network_up,
            ssh=health.ssh.value,
        )

    async def stats_vm(self, ref: str) -> StatsView:
        """Measure what a VM uses. What cannot be measured, as of a stopped one, is left out."""
        record = self._state.vms.find(ref)
        directory = self._state.vms_dir / record.id
        state, (_, process) = self._state_of(record), vm_state(self._state.journal.of_vm(record.id))
        sizes = record.request.sizes
        view = StatsView(
            record.id,
            record.name,
            state,
            sizes.vcpus,
            sizes.memory_mib * MIB,
            sizes.disk_bytes,
            root_bytes=disk_bytes(directory / ROOT_FILE),
            work_bytes=disk_bytes(directory / WORK_FILE),
        )
        if process is None:
            return view
        guest: list[GuestUseView] = []
        problems: list[str] = []

        async def ask_guest() -> None:
            try:
                guest.append(await ask_load(await self._agent(record, _HEALTH_DEADLINE_S)))
            except BangerError as error:
                problems.append(f"the guest does not say: {error.message}")

        usage: Usage | None = None
        before, began = cpu_seconds(process.pid), self._state.clock.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(ask_guest)
            await anyio.sleep(_SAMPLE_S)
            usage = await anyio.to_thread.run_sync(process_usage, process.pid)
        if usage is None or before is None:
            return view
        percent = 100 * (usage.cpu_s - before) / max(self._state.clock.monotonic() - began, _SAMPLE_S)
        return StatsView(
            *(view.id, view.name, view.state, view.vcpus, view.memory_bytes, view.disk_bytes),
            *(view.root_bytes, view.work_bytes, usage.uptime_s, usage.cpu_s, max(0.0, percent)),
            *(usage.rss_bytes, usage.pss_bytes, guest[0] if guest else None, problems),
        )

    async def ports_vm(self, ref: str) -> PortsView:
        """What listens in a guest, each made reachable at the VM's own address and looked at for a web server."""
        record = self._running(ref)
        listening = await (await self._agent(record, _HEALTH_DEADLINE_S)).ports()
        address = own_address(self._state.journal.of_vm(record.id))
        ports = await reachable(self._state.vms_dir / record.id, listening.listeners, address)
        return PortsView(record.id, record.name, address, ports, listening.truncated)

    async def forwards_vm(self, ref: str) -> ForwardsView:
        """What this host forwards to a running VM now."""
        record = self._running(ref)
        return ForwardsView(record.id, record.name, await list_forwards(self._state.vms_dir / record.id))

    async def forward_vm(self, ref: str, forward: Forward) -> ForwardsView:
        """Forward a port to a running VM until it stops. Raises ConflictError if the port cannot be had."""
        record = self._running(ref)
        directory = self._state.vms_dir / record.id
        if forward not in await list_forwards(directory):
            await add_forward(directory, forward)
        return await self.forwards_vm(record.id)

    async def unforward_vm(self, ref: str, forward: Forward) -> ForwardsView:
        """Forward a port no longer. Raises NotFoundError if it is not forwarded to this VM."""
        record = self._running(ref)
        await remove_forward(self._state.vms_dir / record.id, forward)
        return await self.forwards_vm(record.id)

    def _state_of(self, record: VmRecord) -> VmState:
        return self._busy.get(record.id) or vm_state(self._state.journal.of_vm(record.id))[0]

    def _running(self, ref: str) -> VmRecord:
        record = self._state.vms.find(ref)
        state = self._state_of(record)
        if state is not VmState.RUNNING:
            raise ConflictError(
                f"VM {record.name!r} is {state}: nothing listens in it", hint=f"banger vm start {record.name}"
            )
        return record

    async def _agent(self, record: VmRecord, deadline_s: float) -> AgentChannel:
        return await self._engine.agents.channel(self._state.vms_dir / record.id / AGENT_SOCKET, deadline_s=deadline_s)
