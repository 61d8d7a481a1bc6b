"""The part of the HTTP API that is about images. A reference may have slashes in it: it is the rest of the path."""

from typing import Annotated

from fastapi import FastAPI, Path
from pydantic import Field
from starlette.responses import JSONResponse, Response

from banger.daemon.core import Daemon
from banger.daemon.operations import json_value
from banger.daemon.schema import Body, Text
from banger.model.images import ImageView, Pull, PullRequest, RegisterRequest
from banger.model.views import OperationView

ImageRef = Annotated[str, Path(max_length=4096, description="An image's name, or where it came from")]
ImageName = Annotated[str, Field(min_length=1, max_length=63)]
FilePath = Annotated[str, Field(pattern="^/", max_length=4096)]


class PullBody(Body):
    """POST /v1/images/pull."""

    source: Text
    name: ImageName | None = None
    pull: Pull = "always"
    kernel_ref: Text | None = None


class RegisterBody(Body):
    """POST /v1/images/register."""

    name: ImageName
    rootfs: FilePath
    seed: FilePath | None = None
    kernel_ref: Text | None = None


class PromoteBody(Body):
    """POST /v1/images/promote."""

    image: Text


def add_image_routes(app: FastAPI, daemon: Daemon) -> None:
    """Add the routes below /v1/images."""
    images = daemon.service.images

    @app.get("/v1/images", response_model=list[ImageView])
    async def list_images() -> Response:
        return _json(await images.all())

    @app.post("/v1/images/pull", response_model=OperationView, status_code=202)
    async def pull_image(body: PullBody) -> Response:
        request = PullRequest(**body.model_dump())
        return _json(daemon.begin(f"pull {request.source}", lambda emit: images.pull(request, emit)), 202)

    @app.post("/v1/images/register", response_model=ImageView)
    async def register_image(body: RegisterBody) -> Response:
        return _json(await images.register(RegisterRequest(**body.model_dump())))

    @app.post("/v1/images/promote", response_model=OperationView, status_code=202)
    async def promote_image(body: PromoteBody) -> Response:
        ref = body.image
        return _json(daemon.begin(f"promote {ref}", lambda emit: images.promote(ref, emit)), 202)

    @app.get("/v1/images/{ref:path}", response_model=ImageView)
    async def show_image(ref: ImageRef) -> Response:
        return _json(await images.show(ref))

    @app.delete("/v1/images/{ref:path}", response_model=ImageView)
    async def delete_image(ref: ImageRef) -> Response:
        return _json(await images.delete(ref))


def _json(value: object, status: int = 200) -> Response:
    return JSONResponse(json_value(value), status)
