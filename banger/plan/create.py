"""A new VM, from nothing to a prompt."""

from typing import Any

from banger.model.vm import VmRequest
from banger.plan import Plan
from banger.plan.image import add_image
from banger.plan.machine import HostFacts, add_files, add_ground, add_session, add_wait_for_ssh
from banger.plan.template import add_template
from banger.tasks import Ref
from banger.tasks.disk_rootfs import DiskRootfs
from banger.tasks.disk_work import DiskWork
from banger.tasks.ssh_host_key import SshHostKey
from banger.tasks.vm_directory import VmDirectory
from banger.tasks.vm_record import VmRecord
from banger.tasks.workspace_inspect import InspectWorkspace
from banger.tasks.workspace_sync import SyncWorkspace


def plan_create(request: VmRequest, *, vm: str, name: str, host: HostFacts, from_template: bool = False) -> Plan:
    """Plan a VM that is `vm` by id, booted or `from_template`. Raises NotFoundError for an image that nobody knows."""
    plan = Plan("vm.create", vm)
    workspace = None
    if request.workspace is not None:  # first: a repository that will not do is an error before anything is made
        workspace = plan.add(InspectWorkspace(request=request.workspace), label=request.workspace.path)
    record = plan.add(VmRecord(vm=vm, name=name, request=request.lasting()), label=name, after=[workspace])
    ground = add_ground(plan, host)
    image = add_image(plan, host.images.find(request.image))
    template = add_template(plan, ground, image.rootfs, request.image, request.sizes) if from_template else None
    directory = plan.add(VmDirectory(vm=vm, record=record))
    ready: list[Ref[Any]] = [
        directory,
        plan.add(DiskRootfs(vm=vm, directory=directory, image=image.rootfs, template=template)),
        plan.add(DiskWork(vm=vm, size_bytes=request.sizes.disk_bytes, directory=directory, seed=image.seed)),
        plan.add(SshHostKey(vm=vm, directory=directory)),
    ]
    session = add_session(plan, ground, host, vm, name, request, ready, template)
    if request.wait_ssh:
        add_wait_for_ssh(plan, session, vm, name)
    checkout = None
    if workspace is not None:
        assert request.workspace is not None
        checkout = plan.add(
            SyncWorkspace(vm=vm, request=request.workspace, workspace=workspace),
            after=[session.identity],
            label=request.workspace.path,
        )
    add_files(plan, session, host, vm, after=checkout)
    return plan
