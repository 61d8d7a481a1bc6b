"""The part of the HTTP API that is about forks."""

from typing import Annotated

from fastapi import FastAPI, Path
from pydantic import Field
from starlette.responses import JSONResponse, Response

from banger.daemon.core import Daemon
from banger.daemon.operations import json_value
from banger.daemon.schema import Body, VmName
from banger.model.views import OperationView

Ref = Annotated[str, Path(max_length=64, description="A VM's name or id")]


class ForkBody(Body):
    """POST /v1/vms/{ref}/fork. `name`: of the fork, or what the names of several begin with."""

    count: Annotated[int, Field(ge=1, le=32)] = 1
    name: VmName | None = None


def add_fork_routes(app: FastAPI, daemon: Daemon) -> None:
    """Add the route."""

    @app.post("/v1/vms/{ref}/fork", response_model=OperationView, status_code=202)
    async def fork_vm(ref: Ref, body: ForkBody) -> Response:
        """Freeze a running VM, which goes on, and start others from there. The result is a list of VMs."""
        await daemon.service.show_vm(ref)
        return JSONResponse(json_value(daemon.fork(ref, body.count, body.name)), 202)
