"""The routes about checkouts in VMs: bring one up to date, bring back what was done in it."""

from typing import Annotated

from fastapi import FastAPI, Path
from starlette.responses import JSONResponse, Response

from banger.daemon.core import Daemon
from banger.daemon.operations import json_value
from banger.daemon.schema import BranchBody, PrepareBody, WorkspaceExportBody
from banger.model.views import OperationView
from banger.model.workspace import BranchView

VmRef = Annotated[str, Path(max_length=64, description="A VM's name or id")]
ExportRef = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="The id of an export")]


def add_workspace_routes(app: FastAPI, daemon: Daemon) -> None:
    """Add them to the application."""
    service = daemon.service

    @app.post("/v1/vms/{ref}/workspace/prepare", response_model=OperationView, status_code=202)
    async def prepare_workspace(ref: VmRef, body: PrepareBody) -> Response:
        """The result is a PreparedView (banger.model.workspace)."""
        vm = await service.show_vm(ref)
        view = daemon.begin(
            f"prepare the workspace of {vm.name}",
            lambda emit: service.prepare_workspace(vm.id, body.request(), emit),
        )
        return JSONResponse(json_value(view), 202)

    @app.post("/v1/vms/{ref}/workspace/export", response_model=OperationView, status_code=202)
    async def export_workspace(ref: VmRef, body: WorkspaceExportBody) -> Response:
        """The result is an ExportView (banger.model.workspace). Nothing is written to the repository yet."""
        vm = await service.show_vm(ref)
        view = daemon.begin(
            f"export the workspace of {vm.name}", lambda _emit: service.export_workspace(vm.id, body.path)
        )
        return JSONResponse(json_value(view), 202)

    @app.post("/v1/vms/{ref}/workspace/exports/{export}/branch", response_model=BranchView)
    async def make_workspace_branch(ref: VmRef, export: ExportRef, body: BranchBody) -> Response:
        """Make a new branch in the repository."""
        return JSONResponse(json_value(await service.make_workspace_branch(ref, export, body.name)))
