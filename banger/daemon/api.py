"""The HTTP API: routes, and nothing that decides. Its description is docs/openapi.json."""

import logging
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banger import __version__
from banger.daemon.cache_routes import add_cache_routes
from banger.daemon.core import Daemon
from banger.daemon.execution import ExecResponse
from banger.daemon.failures import Failure, describe
from banger.daemon.fork_routes import add_fork_routes
from banger.daemon.image_routes import add_image_routes
from banger.daemon.kernel_routes import add_kernel_routes
from banger.daemon.operations import json_value
from banger.daemon.pool_routes import add_pool_routes
from banger.daemon.run_routes import add_run_routes
from banger.daemon.schema import CreateBody, ErrorBody, ShutdownBody, TemplateBody, VmBody
from banger.daemon.streaming import NdjsonResponse
from banger.daemon.verb_routes import add_verb_routes
from banger.daemon.workspace_routes import add_workspace_routes
from banger.model.errors import BangerError, SpecError
from banger.model.views import (
    CheckView,
    DaemonView,
    OperationView,
    PlanView,
    ShutdownView,
    TemplateView,
)
from banger.model.vm import Sizes, VmView

BODY_LIMIT_BYTES = 64 * 1024

log = logging.getLogger(__name__)

Ref = Annotated[str, Path(max_length=64, description="A VM's name or id")]
NDJSON: dict[int | str, dict[str, Any]] = {
    200: {"content": {NdjsonResponse.media_type: {}}, "description": "One JSON object a line"}
}

EXEC_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {ExecResponse.media_type: {}}, "description": "What the command writes, and how it ends"}
}


def create_app(daemon: Daemon) -> FastAPI:
    """Build the application of one daemon."""
    app = FastAPI(
        title="banger",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        responses={"default": {"model": ErrorBody, "description": "What went wrong"}},
    )
    _add_vm_routes(app, daemon)
    add_verb_routes(app, daemon)
    _add_operation_routes(app, daemon)
    _add_plan_routes(app, daemon)
    add_cache_routes(app, daemon)
    add_run_routes(app, daemon)
    add_kernel_routes(app, daemon)
    add_workspace_routes(app, daemon)
    _add_template_routes(app, daemon)
    add_image_routes(app, daemon)
    add_fork_routes(app, daemon)
    add_pool_routes(app, daemon)
    _add_daemon_routes(app, daemon)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_failure)
    app.add_exception_handler(BangerError, _answer_failure)
    app.add_middleware(Guard, daemon=daemon)
    return app


def _json(value: object, status: int = 200) -> Response:
    # The views are ours and whole: validating them a second time on the way out would only cost time.
    return JSONResponse(json_value(value), status)


def _add_vm_routes(app: FastAPI, daemon: Daemon) -> None:
    service = daemon.service

    @app.get("/v1/vms", response_model=list[VmView])
    async def list_vms() -> Response:
        return _json(await service.list_vms())

    @app.post("/v1/vms", response_model=OperationView, status_code=202)
    async def create_vm(body: CreateBody) -> Response:
        return _json(daemon.create(body.vm.request(), attached=body.attached), 202)

    @app.get("/v1/vms/{ref}", response_model=VmView)
    async def show_vm(ref: Ref) -> Response:
        return _json(await service.show_vm(ref))

    @app.post("/v1/vms/{ref}/start", response_model=OperationView, status_code=202)
    async def start_vm(ref: Ref) -> Response:
        await service.show_vm(ref)
        return _json(daemon.start(ref), 202)

    @app.post("/v1/vms/{ref}/stop", response_model=OperationView, status_code=202)
    async def stop_vm(ref: Ref) -> Response:
        await service.show_vm(ref)
        return _json(daemon.stop_vm(ref), 202)

    @app.delete("/v1/vms/{ref}", response_model=OperationView, status_code=202)
    async def delete_vm(ref: Ref, if_stopped: bool = False) -> Response:  # noqa: FBT001, FBT002 - of the query
        return _json(await daemon.delete(ref, if_stopped=if_stopped), 202)

    @app.post("/v1/vms/{ref}/exec", responses=EXEC_STREAM, response_class=Response)
    async def exec_vm(ref: Ref) -> Response:
        """Run a command. Both bodies are streams of messages (banger.model.exec), open until it has ended."""
        return ExecResponse(lambda request: service.exec_vm(ref, request), daemon.executions)

    @app.get("/v1/vms/{ref}/session", responses=NDJSON, response_class=Response)
    async def hold_session(ref: Ref) -> Response:
        """Held open: when this connection breaks, the VM is deleted."""
        vm = await service.show_vm(ref)
        return NdjsonResponse(daemon.sessions.hold(vm.id))

    @app.delete("/v1/sessions/{session_id}", status_code=204)
    async def end_session(session_id: str) -> Response:
        """End a session and keep its VM."""
        daemon.sessions.end(session_id)
        return Response(status_code=204)


def _add_operation_routes(app: FastAPI, daemon: Daemon) -> None:
    @app.get("/v1/operations/{operation_id}/events", responses=NDJSON, response_class=Response)
    async def follow(operation_id: str) -> Response:
        """Every event so far, then each as it comes; the last is `result` or `error`."""
        return NdjsonResponse(daemon.operations.follow(daemon.operations.get(operation_id)))

    @app.delete("/v1/operations/{operation_id}", status_code=204)
    async def cancel(operation_id: str) -> Response:
        """Cancel it and undo what it began. One that has finished stays as it is."""
        daemon.operations.get(operation_id).scope.cancel()
        return Response(status_code=204)


def _add_plan_routes(app: FastAPI, daemon: Daemon) -> None:
    @app.post("/v1/plan", response_model=PlanView)
    async def plan(body: VmBody) -> Response:
        return _json(await daemon.service.plan_create(body.request()))


def _add_template_routes(app: FastAPI, daemon: Daemon) -> None:
    service = daemon.service

    @app.get("/v1/templates", response_model=list[TemplateView])
    async def list_templates() -> Response:
        return _json(await service.list_templates())

    @app.post("/v1/templates", response_model=OperationView, status_code=202)
    async def build_template(body: TemplateBody) -> Response:
        return _json(daemon.build_template(body.image, Sizes(**body.sizes.model_dump())), 202)

    @app.delete("/v1/templates/{prefix}", response_model=TemplateView)
    async def remove_template(prefix: Annotated[str, Path(max_length=71)]) -> Response:
        return _json(await service.remove_template(prefix))


def _add_daemon_routes(app: FastAPI, daemon: Daemon) -> None:
    @app.get("/v1/health", response_model=DaemonView)
    async def health() -> Response:
        return _json(daemon.view())

    @app.get("/v1/doctor", response_model=list[CheckView])
    async def doctor() -> Response:
        return _json(await daemon.service.doctor())

    @app.post("/v1/doctor/probe", response_model=OperationView, status_code=202)
    async def probe() -> Response:
        """Make a VM and look at what it can do; the result is a list of checks."""
        return _json(daemon.begin("probe a VM", daemon.service.probe), 202)

    @app.post("/v1/shutdown", response_model=ShutdownView)
    async def shutdown(body: ShutdownBody) -> Response:
        return _json(daemon.shutdown(if_idle=body.if_idle))


async def _answer_failure(request: Request, error: Exception) -> Response:
    return _failure(describe(error, f"{request.method} {request.url.path}"))


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()[:5]]
    return _failure(Failure("spec", "refused request: " + "; ".join(problems)))


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    failure = Failure("daemon", f"{request.method} {request.url.path}: {error.detail}", exit_status=2)
    return _failure(failure, error.status_code)


def _failure(failure: Failure, status: int | None = None) -> Response:
    body = asdict(failure)
    del body["others"]
    return JSONResponse(body, status or failure.http_status)


class Guard:
    """Note that a client is there, and stop reading a body that is too long, whatever its headers say.

    A command's input may be of any length: it is a stream, taken as fast as the command reads it.
    """

    def __init__(self, app: ASGIApp, daemon: Daemon) -> None:
        self._app = app
        self._daemon = daemon

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._daemon.touch()
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > BODY_LIMIT_BYTES and not scope["path"].endswith("/exec"):
                raise SpecError(f"request body longer than {BODY_LIMIT_BYTES} bytes")
            return message

        await self._app(scope, bounded, send)
        self._daemon.touch()
