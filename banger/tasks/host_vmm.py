"""`host.vmm`: which VMM is installed, and whether KVM really runs a guest here."""

from typing import ClassVar, Literal

from banger.model.action import Needs
from banger.model.handles import HostVmm
from banger.tasks import Context, Query
from banger.vm.kvm import host_cpu, probe_kvm
from banger.vm.qemu import Qemu
from banger.vm.tsc import host_tsc_khz


class AskHostVmm(Query[HostVmm], frozen=True, kw_only=True):
    """The parameters are what can change the answer: a reboot, or an upgrade of QEMU."""

    kind: ClassVar[str] = "host.vmm"
    version: ClassVar[int] = 2
    ttl_s: ClassVar[int] = 30 * 24 * 3600
    deadline_s: ClassVar[int] = 60
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1),))
    boot_id: str
    binary_stamp: str

    async def ask(self, ctx: Context) -> HostVmm:
        """Ask QEMU for its version, and try KVM."""
        facts = await Qemu.installed().facts()
        probe = await probe_kvm(facts.binary)
        accelerator: Literal["kvm", "tcg"] = "kvm" if probe.usable else "tcg"
        cpu = host_cpu() if probe.usable else ""  # under emulation a guest sees a processor of QEMU's
        return HostVmm(facts.version, facts.binary_sha256, accelerator, probe.reason, host_tsc_khz(), cpu)
