"""The everyday verbs of the fake service. `sick-…` has a guest that does not answer, `web-…` serves pages."""

from dataclasses import replace

from banger.daemon.service import Emit
from banger.engine.verbs import changed
from banger.model.errors import ConflictError, NotFoundError
from banger.model.verbs import ForwardsView, GuestUseView, HealthView, PortsView, PortView, StatsView, VmChange
from banger.model.vm import MIB, Forward, VmRequest, VmView

ADDRESS = "127.77.1.2"
LISTENERS = [
    PortView("https", f"https://{ADDRESS}:8443/", 8443, "nginx", "nginx: master"),
    PortView("http", f"http://{ADDRESS}:8080/", 8080, "python3", "python3 -m http.server \x1b[31m8080"),
    PortView("tcp", "127.0.0.1:40022", 22, "banger-init", "/init"),
    PortView("tcp", None, 5432, "postgres", "postgres -D /root/db", "only inside the VM, at 127.0.0.1:5432"),
]


class FakeVerbs:
    """A part of `FakeService`."""

    _forwards: dict[str, list[Forward]]

    def _get(self, ref: str) -> VmView:
        raise NotImplementedError

    def _put(self, view: VmView) -> VmView:
        raise NotImplementedError

    def _note(self, call: str, argument: object) -> None:
        raise NotImplementedError

    async def restart_vm(self, ref: str, emit: Emit) -> VmView:
        self._note("restart_vm", ref)
        return self._put(replace(self._get(ref), state="running"))

    async def kill_vm(self, ref: str, emit: Emit) -> VmView:
        self._note("kill_vm", ref)
        return self._put(replace(self._get(ref), state="stopped"))

    async def change_vm(self, ref: str, change: VmChange, emit: Emit) -> VmView:
        self._note("change_vm", ref)
        vm = self._get(ref)
        if change.is_of_the_machine and vm.state != "stopped":
            raise ConflictError(f"VM {vm.name!r} is {vm.state}", hint=f"banger vm stop {vm.name}")
        request = changed(VmRequest(vm.sizes, nat=vm.nat), change)
        return self._put(replace(vm, name=change.name or vm.name, sizes=request.sizes, nat=request.nat))

    async def health_vm(self, ref: str) -> HealthView:
        self._note("health_vm", ref)
        vm = self._get(ref)
        if vm.name.startswith("sick") or vm.state != "running":
            return HealthView(vm.id, vm.name, vm.state, healthy=False, reason="the guest agent does not answer")
        return HealthView(vm.id, vm.name, vm.state, True, None, "1.0", 12.5, True, "listening")

    async def stats_vm(self, ref: str) -> StatsView:
        vm = self._get(ref)
        at_rest = StatsView(
            vm.id, vm.name, vm.state, vm.sizes.vcpus, vm.sizes.memory_mib * MIB, vm.sizes.disk_bytes, MIB, 2 * MIB
        )
        if vm.state != "running":
            return at_rest
        guest = None if vm.name.startswith("sick") else GuestUseView([0.5, 0.25, 0.125], 1000 * MIB, 600 * MIB)
        problems = [] if guest else ["the guest does not say: no answer"]
        return replace(
            at_rest,
            uptime_s=100.0,
            cpu_s=3.5,
            cpu_percent=150.0,
            rss_bytes=300 * MIB,
            pss_bytes=80 * MIB,
            guest=guest,
            problems=problems,
        )

    async def ports_vm(self, ref: str) -> PortsView:
        vm = self._get(ref)
        if vm.state != "running":
            raise ConflictError(f"VM {vm.name!r} is {vm.state}: nothing listens in it")
        return PortsView(vm.id, vm.name, ADDRESS, LISTENERS if vm.name.startswith("web") else [])

    async def forwards_vm(self, ref: str) -> ForwardsView:
        vm = self._get(ref)
        return ForwardsView(vm.id, vm.name, self._forwards.get(vm.id, []))

    async def forward_vm(self, ref: str, forward: Forward) -> ForwardsView:
        vm = self._get(ref)
        if forward.host_port == 1:
            raise ConflictError("port 1 of 127.0.0.1 cannot be forwarded: it is in use", hint="choose another port")
        self._forwards.setdefault(vm.id, []).append(forward)
        return await self.forwards_vm(ref)

    async def unforward_vm(self, ref: str, forward: Forward) -> ForwardsView:
        vm = self._get(ref)
        present = self._forwards.get(vm.id, [])
        if not any((one.host, one.host_port) == (forward.host, forward.host_port) for one in present):
            raise NotFoundError(f"{forward.host}:{forward.host_port} is not forwarded to the VM")
        self._forwards[vm.id] = [one for one in present if one.host_port != forward.host_port]
        return await self.forwards_vm(ref)
