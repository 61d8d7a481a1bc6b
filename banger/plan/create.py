"""A new VM, from nothing to a prompt."""

from typing import Any

from banger.model.errors import NotFoundError
from banger.model.vm import DEFAULT_IMAGE, VmRequest
from banger.plan import Plan
from banger.plan.machine import HostFacts, add_ground, add_session, add_wait_for_ssh
from banger.tasks import Ref
from banger.tasks.disk_rootfs import DiskRootfs
from banger.tasks.disk_work import DiskWork
from banger.tasks.image_bootstrap import BootstrapImage
from banger.tasks.image_packages import FetchPackages
from banger.tasks.image_resolve import ResolveImage
from banger.tasks.image_rootfs import BuildRootfs
from banger.tasks.image_work_seed import BuildWorkSeed
from banger.tasks.ssh_host_key import SshHostKey
from banger.tasks.vm_directory import VmDirectory
from banger.tasks.vm_record import VmRecord
from banger.tasks.workspace_inspect import InspectWorkspace
from banger.tasks.workspace_sync import SyncWorkspace


def plan_create(request: VmRequest, *, vm: str, name: str, host: HostFacts) -> Plan:
    """Plan a VM that is `vm` by id. Raises NotFoundError for an image that nobody knows."""
    if request.image != DEFAULT_IMAGE:
        hint = f"banger vm run --image {DEFAULT_IMAGE}"
        raise NotFoundError(f"there is no image called {request.image[:80]!r}", hint=hint)
    plan = Plan("vm.create", vm)
    workspace = None
    if request.workspace is not None:  # first: a repository that will not do is an error before anything is made
        workspace = plan.add(InspectWorkspace(request=request.workspace), label=request.workspace.path)
    record = plan.add(VmRecord(vm=vm, name=name, request=request), label=name, after=[workspace])
    ground = add_ground(plan, host)
    pinned = plan.add(ResolveImage(), label=request.image)
    packages = plan.add(FetchPackages(pinned=pinned))
    tar = plan.add(BootstrapImage(pinned=pinned, packages=packages))
    rootfs = plan.add(BuildRootfs(tar=tar))
    seed = plan.add(BuildWorkSeed(tar=tar))
    directory = plan.add(VmDirectory(vm=vm, record=record))
    ready: list[Ref[Any]] = [
        directory,
        plan.add(DiskRootfs(vm=vm, directory=directory, image=rootfs)),
        plan.add(DiskWork(vm=vm, size_bytes=request.sizes.disk_bytes, directory=directory, seed=seed)),
        plan.add(SshHostKey(vm=vm, directory=directory)),
    ]
    session = add_session(plan, ground, host, vm, name, request.sizes, ready)
    if workspace is None:
        if request.wait_ssh:
            add_wait_for_ssh(plan, session, vm, name)
    else:
        assert request.workspace is not None
        port = add_wait_for_ssh(plan, session, vm, name)
        plan.add(
            SyncWorkspace(vm=vm, request=request.workspace, workspace=workspace, boot=session.boot, port=port),
            label=request.workspace.path,
        )
    return plan
