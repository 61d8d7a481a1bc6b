"""The nodes that every running VM needs: which VMM, which kernel, which programs of ours, and the boot itself."""

from dataclasses import dataclass, field
from typing import Any

from banger.model.config import FileSync
from banger.model.handles import CopiedFiles, File, FrozenVm, HostVmm, KernelFiles, RunningVm, UserNet
from banger.model.kernel_source import KernelChoice
from banger.model.vm import VmRequest
from banger.plan import Plan
from banger.plan.image import ImageBook, OwnImages
from banger.plan.kernel import DEFAULT_CHOICE, add_kernel
from banger.tasks import Ref
from banger.tasks.guest_agent import GuestAgent
from banger.tasks.guest_clock import GuestClock
from banger.tasks.guest_entropy import GuestEntropy
from banger.tasks.guest_files import CopyGuestFiles
from banger.tasks.guest_identity import GuestIdentity
from banger.tasks.guest_initramfs import BuildInitramfs
from banger.tasks.guest_programs import AskGuestPrograms
from banger.tasks.guest_ssh import GuestSsh
from banger.tasks.host_vmm import AskHostVmm
from banger.tasks.net_bridge import NetBridge
from banger.tasks.net_forward import NetForward
from banger.tasks.net_nat import NetNat
from banger.tasks.net_tap import NetTap
from banger.tasks.net_user import NetUser
from banger.tasks.vm_boot import VmBoot
from banger.tasks.vm_restore import VmRestore


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a plan depends on that is cheap to look up: it keys the Queries that are dear."""

    boot_id: str
    vmm_stamp: str
    programs_stamp: str
    authorized_key: str
    kernel: KernelChoice = DEFAULT_CHOICE
    file_sync: tuple[FileSync, ...] = ()
    images: ImageBook = field(default_factory=OwnImages)
    has_worker: bool = False
    """Whether VMs can have addresses of their own: a root worker is there to give them."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a boot needs, whichever VM it is."""

    vmm: Ref[HostVmm]
    kernel: Ref[KernelFiles]
    initramfs: Ref[File]


def add_ground(plan: Plan, host: HostFacts) -> Ground:
    """Add VMM, kernel and initramfs."""
    vmm = add_vmm_query(plan, host)
    kernel = add_kernel(plan, host.kernel)
    programs = plan.add(AskGuestPrograms(stamp=host.programs_stamp))
    initramfs = plan.add(BuildInitramfs(kernel=kernel, programs=programs))
    return Ground(vmm, kernel, initramfs)


def add_vmm_query(plan: Plan, host: HostFacts) -> Ref[HostVmm]:
    """Add the question which VMM it is."""
    return plan.add(AskHostVmm(boot_id=host.boot_id, binary_stamp=host.vmm_stamp))


@dataclass(frozen=True, slots=True)
class Session:
    """A running VM."""

    boot: Ref[RunningVm]
    net: Ref[UserNet]
    identity: Ref[str]


def add_session(  # noqa: PLR0913, PLR0917 - what a VM is made of
    plan: Plan,
    ground: Ground,
    host: HostFacts,
    vm: str,
    name: str,
    request: VmRequest,
    after: list[Ref[Any]],
    template: Ref[FrozenVm] | None = None,
) -> Session:
    """Add network, VMM, randomness, time and identity. `after`: what must be there before the VMM.

    With a `template` the guest goes on from there; without one it boots.
    """
    boot, net = add_vmm(plan, ground, vm, request, after, template, has_worker=host.has_worker)
    if request.ports:
        plan.add(NetForward(vm=vm, forwards=tuple(request.ports), boot=boot))
    work_bytes = request.sizes.disk_bytes if template else None
    return add_guest(plan, host, vm, name, boot, net, restored=template is not None, work_bytes=work_bytes)


def add_guest(  # noqa: PLR0913 - what a guest is told
    plan: Plan,
    host: HostFacts,
    vm: str,
    name: str,
    boot: Ref[RunningVm],
    net: Ref[UserNet],
    *,
    restored: bool,
    work_bytes: int | None,
) -> Session:
    """Add the wait for the agent, and what makes the guest itself. `work_bytes`: of a disk that it mounts only now."""
    agent = plan.add(GuestAgent(vm=vm, boot=boot))
    # In this order: keys and connections that the identity brings must not come from the template's random numbers.
    entropy = plan.add(GuestEntropy(vm=vm, boot=boot), after=[agent])
    clock = plan.add(GuestClock(vm=vm, boot=boot), after=[entropy])
    identity = plan.add(
        GuestIdentity(
            vm=vm,
            hostname=name,
            authorized_key=host.authorized_key,
            boot=boot,
            work_bytes=work_bytes,
            net=net if restored else None,
        ),
        after=[clock],
    )
    return Session(boot, net, identity)


def _add_tap(plan: Plan, vm: str, request: VmRequest, after: list[Ref[Any]]) -> tuple[Ref[UserNet], Ref[bool]]:
    net = plan.add(NetTap(vm=vm, bridge=plan.add(NetBridge(vm=vm), after=after)))
    return net, plan.add(NetNat(vm=vm, egress=request.nat, peers=False, net=net))


def add_wait_for_ssh(plan: Plan, session: Session, vm: str, name: str) -> Ref[int]:
    """Add the wait for SSH, for those who need it: what the agent runs does not."""
    return plan.add(GuestSsh(vm=vm, name=name, boot=session.boot, net=session.net, identity=session.identity))


def add_files(
    plan: Plan, session: Session, host: HostFacts, vm: str, after: Ref[Any] | None = None
) -> Ref[CopiedFiles] | None:
    """Add the user's files, if any are configured; `after` a checkout, whose place must be empty."""
    if not host.file_sync:
        return None
    task = CopyGuestFiles(vm=vm, entries=host.file_sync, boot=session.boot, identity=session.identity)
    return plan.add(task, after=[after])


def add_vmm(
    plan: Plan,
    ground: Ground,
    vm: str,
    request: VmRequest,
    after: list[Ref[Any]],
    template: Ref[FrozenVm] | None,
    *,
    has_worker: bool = False,
) -> tuple[Ref[RunningVm], Ref[UserNet]]:
    """Add network and VMM."""
    vcpus, memory_mib = request.sizes.vcpus, request.sizes.memory_mib
    if has_worker and not request.ports:  # ports of this host are forwarded by a VMM that has the guest behind it
        net, nat = _add_tap(plan, vm, request, after[:1])
        after = [*after, nat]
    else:
        net = plan.add(NetUser(vm=vm, nat=request.nat), after=after[:1])
    if template is not None:
        restore = VmRestore(vm=vm, vcpus=vcpus, memory_mib=memory_mib, vmm=ground.vmm, template=template, net=net)
        return plan.add(restore, after=after), net
    boot = VmBoot(
        vm=vm,
        vcpus=vcpus,
        memory_mib=memory_mib,
        vmm=ground.vmm,
        kernel=ground.kernel,
        initramfs=ground.initramfs,
        net=net,
    )
    return plan.add(boot, after=after), net
