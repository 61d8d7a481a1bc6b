"""Routes of the everyday verbs of a VM."""

from typing import Annotated

from fastapi import FastAPI, Path
from starlette.responses import JSONResponse, Response

from banger.daemon.core import Daemon
from banger.daemon.operations import json_value
from banger.daemon.schema import ChangeBody, ForwardBody
from banger.model.verbs import ForwardsView, HealthView, PortsView, StatsView
from banger.model.views import OperationView

Ref = Annotated[str, Path(max_length=64, description="A VM's name or id")]


def add_verb_routes(app: FastAPI, daemon: Daemon) -> None:
    """Add what is done to one VM, and how it is looked at."""
    _add_operations(app, daemon)
    _add_looks(app, daemon)


def _json(value: object, status: int = 200) -> Response:
    return JSONResponse(json_value(value), status)


def _add_operations(app: FastAPI, daemon: Daemon) -> None:
    service = daemon.service

    @app.post("/v1/vms/{ref}/restart", response_model=OperationView, status_code=202)
    async def restart_vm(ref: Ref) -> Response:
        await service.show_vm(ref)
        return _json(daemon.restart(ref), 202)

    @app.post("/v1/vms/{ref}/kill", response_model=OperationView, status_code=202)
    async def kill_vm(ref: Ref) -> Response:
        await service.show_vm(ref)
        return _json(daemon.kill(ref), 202)

    @app.patch("/v1/vms/{ref}", response_model=OperationView, status_code=202)
    async def change_vm(ref: Ref, body: ChangeBody) -> Response:
        """Change its name, or the shape of a stopped VM."""
        await service.show_vm(ref)
        return _json(daemon.change(ref, body.change()), 202)


def _add_looks(app: FastAPI, daemon: Daemon) -> None:
    service = daemon.service

    @app.get("/v1/vms/{ref}/health", response_model=HealthView)
    async def health_vm(ref: Ref) -> Response:
        return _json(await service.health_vm(ref))

    @app.get("/v1/vms/{ref}/stats", response_model=StatsView)
    async def stats_vm(ref: Ref) -> Response:
        return _json(await service.stats_vm(ref))

    @app.get("/v1/vms/{ref}/ports", response_model=PortsView)
    async def ports_vm(ref: Ref) -> Response:
        """What listens in the guest; each is made reachable at the VM's own address."""
        return _json(await service.ports_vm(ref))

    @app.get("/v1/vms/{ref}/forwards", response_model=ForwardsView)
    async def forwards_vm(ref: Ref) -> Response:
        return _json(await service.forwards_vm(ref))

    @app.post("/v1/vms/{ref}/forwards", response_model=ForwardsView)
    async def forward_vm(ref: Ref, body: ForwardBody) -> Response:
        """Forward a port until the VM stops."""
        return _json(await service.forward_vm(ref, body.forward()))

    @app.post("/v1/vms/{ref}/forwards/remove", response_model=ForwardsView)
    async def unforward_vm(ref: Ref, body: ForwardBody) -> Response:
        return _json(await service.unforward_vm(ref, body.forward()))
