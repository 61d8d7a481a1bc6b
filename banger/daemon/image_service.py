"""What the daemon serves about images: a part of `banger.daemon.service.Service`."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from banger.model.images import ImageView, PullRequest, RegisterRequest

Emit: TypeAlias = Callable[[Mapping[str, Any]], None]


class ImageService(Protocol):
    """`ref` is an image's name or source; NotFoundError if there is none such."""

    async def pull(self, request: PullRequest, emit: Emit) -> ImageView:
        """Have an image, under its name. Raises ConflictError if another one has that name."""
        ...

    async def all(self) -> list[ImageView]:
        """Every image, by name."""
        ...

    async def show(self, ref: str) -> ImageView:
        """One image."""
        ...

    async def delete(self, ref: str) -> ImageView:
        """Forget an image. Raises ConflictError, which names the VMs, while any uses it."""
        ...

    async def register(self, request: RegisterRequest) -> ImageView:
        """Give a name to the user's own files."""
        ...

    async def promote(self, ref: str, emit: Emit) -> ImageView:
        """Take the files of a registered image into the cache."""
        ...
