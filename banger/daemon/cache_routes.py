"""The part of the HTTP API that is about the cache."""

from typing import Annotated

from fastapi import FastAPI, Path, Query
from starlette.responses import JSONResponse, Response

from banger.daemon.core import Daemon
from banger.daemon.operations import json_value
from banger.daemon.schema import PinBody, PruneBody, VerifyBody
from banger.model.cache import CacheEntryView, CacheFilter, CacheUsageView
from banger.model.views import OperationView

Prefix = Annotated[str, Path(max_length=71, description="A digest, or the first digits of one")]
Seconds = Annotated[float | None, Query(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int | None, Query(ge=0)]
Word = Annotated[str | None, Query(max_length=100)]


def add_cache_routes(app: FastAPI, daemon: Daemon) -> None:
    """Add the routes below /v1/cache."""
    service = daemon.service

    @app.get("/v1/cache", response_model=list[CacheEntryView])
    async def cache_list(
        kind: Word = None, older_than_s: Seconds = None, larger_than_bytes: Bytes = None, owner: Word = None
    ) -> Response:
        return _json(await service.cache_list(CacheFilter(kind, older_than_s, larger_than_bytes, owner)))

    @app.get("/v1/cache/usage", response_model=CacheUsageView)
    async def cache_usage() -> Response:
        return _json(await service.cache_usage())

    @app.get("/v1/cache/{prefix}", response_model=CacheEntryView)
    async def cache_show(prefix: Prefix) -> Response:
        return _json(await service.cache_show(prefix))

    @app.put("/v1/cache/{prefix}/pin", response_model=CacheEntryView)
    async def cache_pin(prefix: Prefix, body: PinBody) -> Response:
        return _json(await service.cache_pin(prefix, body.note))

    @app.delete("/v1/cache/{prefix}/pin", response_model=CacheEntryView | None)
    async def cache_unpin(prefix: Prefix) -> Response:
        return _json(await service.cache_unpin(prefix))

    @app.post("/v1/cache/prune", response_model=OperationView, status_code=202)
    async def cache_prune(body: PruneBody) -> Response:
        return _json(daemon.prune(body.request()), 202)

    @app.post("/v1/cache/verify", response_model=OperationView, status_code=202)
    async def cache_verify(body: VerifyBody) -> Response:
        return _json(daemon.verify(repair=body.repair), 202)


def _json(value: object, status: int = 200) -> Response:
    return JSONResponse(json_value(value), status)
