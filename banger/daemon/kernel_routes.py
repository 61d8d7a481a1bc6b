"""The part of the HTTP API that is about kernels."""

from typing import Annotated

from fastapi import FastAPI, Path
from pydantic import Field
from starlette.responses import JSONResponse, Response

from banger.daemon.core import Daemon
from banger.daemon.operations import json_value
from banger.daemon.schema import Body
from banger.model.kernel import ImportRequest, KernelView
from banger.model.views import OperationView

Name = Annotated[str, Path(max_length=64, description="A kernel's name")]
Place = Annotated[str, Field(pattern="^/", max_length=4096)]


class ImportBody(Body):
    """POST /v1/kernels: files on this machine that are a kernel; banger.model.kernel has what they may be."""

    name: Annotated[str, Field(max_length=64)]
    image: Place
    modules: Place | None = None
    initrd: Place | None = None

    def request(self) -> ImportRequest:
        """Turn it into what the service takes."""
        return ImportRequest(**self.model_dump())


class ExportBody(Body):
    """POST /v1/kernels/{name}/export: a directory that is to be made."""

    directory: Place


def add_kernel_routes(app: FastAPI, daemon: Daemon) -> None:
    """Add the routes below /v1/kernels."""
    service = daemon.service

    @app.get("/v1/kernels", response_model=list[KernelView])
    async def list_kernels() -> Response:
        return _json(await service.list_kernels())

    @app.get("/v1/kernels/{name}", response_model=KernelView)
    async def show_kernel(name: Name) -> Response:
        return _json(await service.show_kernel(name))

    @app.post("/v1/kernels", response_model=OperationView, status_code=202)
    async def import_kernel(body: ImportBody) -> Response:
        request = body.request()
        return _json(
            daemon.begin(f"import kernel {request.name}", lambda emit: service.import_kernel(request, emit)), 202
        )

    @app.post("/v1/kernels/{name}/pull", response_model=OperationView, status_code=202)
    async def pull_kernel(name: Name) -> Response:
        return _json(daemon.begin(f"pull kernel {name}", lambda emit: service.pull_kernel(name, emit)), 202)

    @app.post("/v1/kernels/{name}/export", response_model=OperationView, status_code=202)
    async def export_kernel(name: Name, body: ExportBody) -> Response:
        what = f"export kernel {name}"
        return _json(daemon.begin(what, lambda emit: service.export_kernel(name, body.directory, emit)), 202)

    @app.delete("/v1/kernels/{name}", response_model=KernelView)
    async def remove_kernel(name: Name) -> Response:
        return _json(await service.remove_kernel(name))


def _json(value: object, status: int = 200) -> Response:
    return JSONResponse(json_value(value), status)
