"""A fork: a VM that runs, frozen at one moment, and VMs that go on from there, each as another one."""

from dataclasses import replace
from typing import Any

from banger.model.handles import File, FrozenVm
from banger.model.vm import VmRequest
from banger.plan import Plan
from banger.plan.machine import HostFacts, add_guest, add_vmm_query, add_wait_for_ssh
from banger.tasks import Ref
from banger.tasks.disk_rootfs import DiskRootfs
from banger.tasks.disk_work import DiskWork
from banger.tasks.image_given import GivenImage
from banger.tasks.net_user import NetUser
from banger.tasks.ssh_host_key import SshHostKey
from banger.tasks.vm_directory import VmDirectory
from banger.tasks.vm_freeze import FreezeVm
from banger.tasks.vm_frozen import GivenFrozenVm
from banger.tasks.vm_record import VmRecord
from banger.tasks.vm_restore import VmRestore

FREEZE_NODE = FreezeVm.kind


def plan_freeze(vm: str, memory_mib: int) -> Plan:
    """Plan the freezing of a VM that runs, and goes on."""
    plan = Plan("vm.freeze")
    plan.add(FreezeVm(vm=vm, memory_mib=memory_mib))
    return plan


def forked_request(parent: VmRequest, parent_name: str, name: str) -> VmRequest:
    """What a fork would have been asked for as: no throw-away VM, and without its parent's ports of this host."""
    return replace(parent, name=name, ephemeral=False, ports=[], forked_from=parent_name)


def plan_fork(request: VmRequest, frozen: FrozenVm, image: File, *, vm: str, name: str, host: HostFacts) -> Plan:
    """Plan a VM that is `vm` by id, and goes on from where another was frozen, whose root disk lies on `image`."""
    plan = Plan("vm.fork", vm)
    sizes = request.sizes
    record = plan.add(VmRecord(vm=vm, name=name, request=request), label=name)
    vmm = add_vmm_query(plan, host)
    from_there = plan.add(GivenFrozenVm(frozen=frozen), label=request.forked_from or "")
    directory = plan.add(VmDirectory(vm=vm), after=[record])
    net = plan.add(NetUser(vm=vm, nat=request.nat), after=[directory])
    ready: list[Ref[Any]] = [
        directory,
        plan.add(DiskRootfs(vm=vm, directory=directory, image=plan.add(GivenImage(image=image)), template=from_there)),
        plan.add(DiskWork(vm=vm, size_bytes=sizes.disk_bytes, directory=directory, frozen=from_there)),
        plan.add(SshHostKey(vm=vm, directory=directory)),
    ]
    restore = VmRestore(vm=vm, vcpus=sizes.vcpus, memory_mib=sizes.memory_mib, vmm=vmm, template=from_there, net=net)
    boot = plan.add(restore, after=ready)
    # Its work disk is mounted, as it was in its parent.
    session = add_guest(plan, host, vm, name, boot, net, restored=True, work_bytes=None)
    if request.wait_ssh:
        add_wait_for_ssh(plan, session, vm, name)
    return plan
