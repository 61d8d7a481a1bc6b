"""A checkout in a VM that runs, brought up to date."""

from banger.model.vm import WorkspaceRequest
from banger.plan import Plan
from banger.tasks.workspace_sync import SyncWorkspace

SYNC_NODE = SyncWorkspace.kind


def plan_prepare(request: WorkspaceRequest, *, vm: str, replace: bool) -> Plan:
    """Plan it. One node: it looks at the repository itself, and a refusal costs nothing here."""
    plan = Plan("workspace.prepare", vm)
    plan.add(SyncWorkspace(vm=vm, request=request, replace=replace), label=request.path)
    return plan
