"""The routes about past runs: what ran, how long it took, and why."""

from typing import Annotated

from fastapi import FastAPI, Path, Query
from starlette.responses import JSONResponse, Response

from banger.daemon.core import Daemon
from banger.daemon.operations import json_value
from banger.model.history import BenchView, RunRow, RunView, WhyView

RunRef = Annotated[str, Path(max_length=64, description="A run's id, the beginning of it, or `last`")]
OptionalRun = Annotated[str | None, Query(max_length=64)]


def add_run_routes(app: FastAPI, daemon: Daemon) -> None:
    """Add them to the application."""
    service = daemon.service

    @app.get("/v1/runs", response_model=list[RunRow])
    async def list_runs(
        limit: Annotated[int, Query(ge=1, le=200)] = 20, what: Annotated[str | None, Query(max_length=64)] = None
    ) -> Response:
        """The newest first."""
        return JSONResponse(json_value(await service.list_runs(limit, what)))

    @app.get("/v1/runs/{ref}", response_model=RunView)
    async def show_run(ref: RunRef) -> Response:
        return JSONResponse(json_value(await service.show_run(ref)))

    @app.get("/v1/why/{node}", response_model=WhyView)
    async def why(
        node: Annotated[str, Path(max_length=256)], run: OptionalRun = None, against: OptionalRun = None
    ) -> Response:
        """Without `run`: the newest run that has the node; without `against`: the run of the same sort before it."""
        return JSONResponse(json_value(await service.why(node, run, against)))

    @app.get("/v1/bench", response_model=BenchView)
    async def bench() -> Response:
        """Stages of creates so far: cold, warm and restored ones apart."""
        return JSONResponse(json_value(await service.bench()))
