"""Images of a service with no engine: `base` is there and used by the VM `web`; what is pulled is there at once."""

from collections.abc import Callable
from dataclasses import asdict, replace

from banger.daemon.image_service import Emit
from banger.model.errors import ConflictError, NotFoundError
from banger.model.images import ImageView, PullRequest, RegisterRequest

DIGEST = "sha256:" + "cd" * 32


class FakeImages:
    """Keeps the ImageService protocol."""

    def __init__(self, note: Callable[[str, object], None]) -> None:
        self._note = note
        base = ImageView("base", "host.example/base:1", "ready", DIGEST, 2, 3000, 10_000, 5000, 18_000, vms=["web"])
        self._all = {"base": base}

    async def pull(self, request: PullRequest, emit: Emit) -> ImageView:
        self._note("image_pull", asdict(request))
        emit({"event": "notice", "at": 1.0, "text": "pulling"})
        name = request.name or request.source.rpartition("/")[2].replace(":", "-")
        return self._all.setdefault(name, replace(self._all["base"], name=name, source=request.source, vms=[]))

    async def all(self) -> list[ImageView]:
        return [self._all[name] for name in sorted(self._all)]

    async def show(self, ref: str) -> ImageView:
        found = [one for one in self._all.values() if ref in {one.name, one.source}]
        if not found:
            raise NotFoundError(f"there is no image called {ref!r}", hint="banger image list")
        return found[0]

    async def delete(self, ref: str) -> ImageView:
        view = await self.show(ref)
        if view.vms:
            raise ConflictError(
                f"image {view.name} is used by VM {view.vms[0]}", hint=f"banger vm delete {view.vms[0]}"
            )
        return self._all.pop(view.name)

    async def register(self, request: RegisterRequest) -> ImageView:
        self._note("image_register", asdict(request))
        return self._all.setdefault(request.name, ImageView(request.name, "files", "files"))

    async def promote(self, ref: str, emit: Emit) -> ImageView:
        view = replace(await self.show(ref), state="ready")
        self._all[view.name] = view
        return view
