"""The part of the HTTP API that is about pools."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field
from starlette.responses import JSONResponse, Response

from banger.daemon.core import Daemon
from banger.daemon.operations import json_value
from banger.daemon.schema import TemplateBody
from banger.model.views import PoolView
from banger.model.vm import Sizes


class PoolBody(TemplateBody):
    """PUT /v1/pools: so many of a kind are to be ready. The disk's size counts here."""

    count: Annotated[int, Field(ge=0, le=16)]


def add_pool_routes(app: FastAPI, daemon: Daemon) -> None:
    """Add the routes."""

    @app.get("/v1/pools", response_model=list[PoolView])
    async def list_pools() -> Response:
        return JSONResponse(json_value(await daemon.service.list_pools()))

    @app.put("/v1/pools", response_model=list[PoolView])
    async def keep_pool(body: PoolBody) -> Response:
        sizes = Sizes(**body.sizes.model_dump())
        return JSONResponse(json_value(await daemon.service.keep_pool(body.image, sizes, body.count)))
