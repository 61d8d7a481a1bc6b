"""A new VM, from nothing to a prompt."""

from typing import Any

from banger.model.vm import VmRequest
from banger.plan import Plan
from banger.plan.image import add_image
from banger.plan.machine import HostFacts, add_files, add_ground, add_session, add_vmm, add_wait_for_ssh
from banger.plan.setup import Setup, add_setup
from banger.plan.template import add_template
from banger.tasks import Ref
from banger.tasks.disk_rootfs import DiskRootfs
from banger.tasks.disk_work import DiskWork
from banger.tasks.guest_agent import GuestAgent
from banger.tasks.guest_setup import GuestSetup
from banger.tasks.ssh_host_key import SshHostKey
from banger.tasks.vm_directory import VmDirectory
from banger.tasks.vm_record import VmRecord
from banger.tasks.workspace_inspect import InspectWorkspace
from banger.tasks.workspace_sync import SyncWorkspace


def plan_create(
    request: VmRequest,
    *,
    vm: str,
    name: str,
    host: HostFacts,
    from_template: bool = False,
    setup: Setup | None = None,
    nameless: bool = False,
) -> Plan:
    """Plan a VM that is `vm` by id, booted or `from_template`. Raises NotFoundError for an image that nobody knows.

    `nameless`: only up to where it is told who it is.
    """
    plan = Plan("vm.create", vm)
    workspace = None
    if request.workspace is not None:  # first: a repository that will not do is an error before anything is made
        workspace = plan.add(InspectWorkspace(request=request.workspace), label=request.workspace.path)
    record = plan.add(VmRecord(vm=vm, name=name, request=request.lasting()), label=name, after=[workspace])
    ground = add_ground(plan, host)
    image = add_image(plan, host.images.find(request.image))
    disks = add_setup(plan, ground, image, request.sizes, setup) if setup else None
    template = add_template(plan, ground, image.rootfs, request.image, request.sizes, disks) if from_template else None
    directory = plan.add(VmDirectory(vm=vm), after=[record])
    ready: list[Ref[Any]] = [
        directory,
        plan.add(DiskRootfs(vm=vm, directory=directory, image=image.rootfs, template=template, setup=disks)),
        plan.add(
            DiskWork(vm=vm, size_bytes=request.sizes.disk_bytes, directory=directory, seed=image.seed, setup=disks)
        ),
        plan.add(SshHostKey(vm=vm, directory=directory)),
    ]
    if nameless:
        boot, _ = add_vmm(plan, ground, vm, request, ready, template)
        plan.add(GuestAgent(vm=vm, boot=boot))
        return plan
    session = add_session(plan, ground, host, vm, name, request, ready, template)
    if request.wait_ssh:
        add_wait_for_ssh(plan, session, vm, name)
    last: Ref[Any] | None = None
    if workspace is not None:
        assert request.workspace is not None
        last = plan.add(
            SyncWorkspace(vm=vm, request=request.workspace, workspace=workspace),
            after=[session.identity],
            label=request.workspace.path,
        )
        if disks is not None:
            last = plan.add(GuestSetup(vm=vm, boot=session.boot), after=[last])
    add_files(plan, session, host, vm, after=last)
    return plan
