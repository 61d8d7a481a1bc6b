"""A stopped VM, running again on the disks that it has."""

from banger.model.vm import VmRequest
from banger.plan import Plan
from banger.plan.machine import HostFacts, add_files, add_ground, add_session, add_wait_for_ssh


def plan_start(request: VmRequest, *, vm: str, name: str, host: HostFacts) -> Plan:
    """Plan another session of a VM. Nothing here touches its disks: what is on them is the user's."""
    plan = Plan("vm.start", vm)
    session = add_session(plan, add_ground(plan, host), host, vm, name, request, after=[])
    add_wait_for_ssh(plan, session, vm, name)
    add_files(plan, session, host, vm)
    return plan
