"""The nodes that every running VM needs: which VMM, which kernel, which programs of ours, and the boot itself."""

from dataclasses import dataclass
from typing import Any

from banger.model.handles import File, HostVmm, KernelFiles, RunningVm, UserNet
from banger.model.vm import Sizes
from banger.plan import Plan
from banger.tasks import Ref
from banger.tasks.guest_agent import GuestAgent
from banger.tasks.guest_identity import GuestIdentity
from banger.tasks.guest_initramfs import BuildInitramfs
from banger.tasks.guest_programs import AskGuestPrograms
from banger.tasks.guest_ssh import GuestSsh
from banger.tasks.host_vmm import AskHostVmm
from banger.tasks.kernel_fetch import FetchKernel
from banger.tasks.kernel_resolve import ResolveKernel
from banger.tasks.kernel_unpack import UnpackKernel
from banger.tasks.net_user import NetUser
from banger.tasks.vm_boot import VmBoot


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a plan depends on that is cheap to look up: it keys the Queries that are dear."""

    boot_id: str
    vmm_stamp: str
    programs_stamp: str
    authorized_key: str


@dataclass(frozen=True, slots=True)
class Ground:
    """What a boot needs, whichever VM it is."""

    vmm: Ref[HostVmm]
    kernel: Ref[KernelFiles]
    initramfs: Ref[File]


def add_ground(plan: Plan, host: HostFacts) -> Ground:
    """Add VMM, kernel and initramfs."""
    vmm = plan.add(AskHostVmm(boot_id=host.boot_id, binary_stamp=host.vmm_stamp))
    package = plan.add(FetchKernel(lock=plan.add(ResolveKernel())))
    kernel = plan.add(UnpackKernel(package=package))
    programs = plan.add(AskGuestPrograms(stamp=host.programs_stamp))
    initramfs = plan.add(BuildInitramfs(kernel=kernel, programs=programs))
    return Ground(vmm, kernel, initramfs)


@dataclass(frozen=True, slots=True)
class Session:
    """A running VM."""

    boot: Ref[RunningVm]
    net: Ref[UserNet]
    identity: Ref[str]


def add_session(
    plan: Plan, ground: Ground, host: HostFacts, vm: str, name: str, sizes: Sizes, after: list[Ref[Any]]
) -> Session:
    """Add network, boot and identity. `after`: what must be there before the VMM starts."""
    net = plan.add(NetUser(vm=vm), after=after[:1])
    boot = plan.add(
        VmBoot(
            vm=vm,
            vcpus=sizes.vcpus,
            memory_mib=sizes.memory_mib,
            vmm=ground.vmm,
            kernel=ground.kernel,
            initramfs=ground.initramfs,
            net=net,
        ),
        after=after,
    )
    agent = plan.add(GuestAgent(vm=vm, boot=boot))
    identity = plan.add(
        GuestIdentity(vm=vm, hostname=name, authorized_key=host.authorized_key, boot=boot), after=[agent]
    )
    return Session(boot, net, identity)


def add_wait_for_ssh(plan: Plan, session: Session, vm: str, name: str) -> Ref[int]:
    """Add the wait for SSH, for those who need it: what the agent runs does not."""
    return plan.add(GuestSsh(vm=vm, name=name, boot=session.boot, net=session.net, identity=session.identity))
