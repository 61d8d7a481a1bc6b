"""What the daemon offers about images: each method is one plan, or one look at the store."""

from collections.abc import Callable

import anyio.to_thread
import msgspec

from banger.engine.again import run_well
from banger.engine.images import Shelf
from banger.engine.observe import Emit
from banger.engine.prune import remove_only
from banger.engine.run import Engine
from banger.model.digest import Digest
from banger.model.errors import ConflictError, NotFoundError, SpecError
from banger.model.handles import ImageDisks
from banger.model.images import ImageView, PullRequest, RegisterRequest
from banger.model.vm import DEFAULT_IMAGE
from banger.oci.catalog import Entry, catalog_here
from banger.plan import Plan
from banger.plan.image import RegisteredImage, add_image, stamp_of
from banger.plan.machine import HostFacts
from banger.store.images import ImageRecord
from banger.store.roots import digests_in
from banger.store.state import State


class ImageService:
    """The images of one state directory, for their users."""

    def __init__(self, engine: Engine, shelf: Shelf, facts: Callable[[], HostFacts]) -> None:
        self._engine = engine
        self._state: State = engine.state
        self._shelf = shelf
        self._facts = facts

    async def pull(self, request: PullRequest, emit: Emit) -> ImageView:
        """Have an image, under its name. Raises ConflictError if another one has that name."""
        text = request.source
        record = self._shelf.record(text)
        if record is None and text == DEFAULT_IMAGE:
            return await self._pull_own(emit)
        if request.name is not None:
            self._shelf.check_name(request.name, record.source if record is not None else self._shelf.source(text).full)
            if self._shelf.entry(text) is not None:
                raise SpecError(f"{text} is the name of an image in the catalog, and stays it")
        await self._shelf.have(text, request.pull, emit, self._facts(), name=request.name)
        if request.kernel_ref is not None:
            kept = self._get(request.name or text)
            self._state.images.put(msgspec.structs.replace(kept, kernel_ref=request.kernel_ref))
        try:
            await self._shelf.have_ssh(request.name or text, emit, self._facts())
        except SpecError as error:  # it is of use without SSH; who wants that is told again
            emit({"event": "notice", "at": self._state.clock.monotonic(), "text": error.message})
        return self._view(self._get(request.name or text))

    async def all(self) -> list[ImageView]:
        """Every image, by name; banger's own among them."""
        views = [self._view(record) for record in self._state.images.all()]
        names = {view.name for view in views}
        views += [_catalog_view(entry) for entry in catalog_here().values() if entry.name not in names]
        own = ImageView(DEFAULT_IMAGE, "Debian's archive", "own", vms=self._users_of_own())
        return sorted([*views, own], key=lambda view: view.name)

    async def show(self, ref: str) -> ImageView:
        """One image, by name or source."""
        if ref == DEFAULT_IMAGE:
            return ImageView(DEFAULT_IMAGE, "Debian's archive", "own", vms=self._users_of_own())
        entry = self._shelf.entry(ref)
        if entry is not None and self._shelf.record(ref) is None:
            return _catalog_view(entry)
        return self._view(self._get(ref))

    async def delete(self, ref: str) -> ImageView:
        """Forget an image and remove what was made for it. Raises ConflictError while a VM uses it."""
        if ref == DEFAULT_IMAGE:
            raise SpecError(f"{ref} is made by banger itself when it is wanted", hint="banger cache prune --all")
        record = self._get(ref)
        view = self._view(record)
        if view.vms:
            many = "VMs" if len(view.vms) > 1 else "VM"
            raise ConflictError(
                f"image {record.name} is used by {many} {', '.join(view.vms)}",
                hint=f"banger vm delete {' '.join(view.vms)}",
            )
        self._state.images.remove(record.name)
        others = {digest for one in self._state.images.all() for digest in _artifacts(one)}
        loose = _artifacts(record) - others
        await anyio.to_thread.run_sync(remove_only, self._state, loose)
        return view

    async def register(self, request: RegisterRequest) -> ImageView:
        """Give a name to the user's own files. They are read when a VM wants them, or by `promote`."""
        source = f"file:{request.rootfs}"
        self._shelf.check_name(request.name, source)
        if self._state.images.find(request.name) is not None:
            raise ConflictError(
                f"there is an image called {request.name} already", hint=f"banger image delete {request.name}"
            )
        for path in (request.rootfs, request.seed):
            if path is not None and not stamp_of(path):
                raise NotFoundError(f"{path}: is not a file")
        record = ImageRecord(
            name=request.name,
            source=source,
            rootfs_path=request.rootfs,
            seed_path=request.seed,
            kernel_ref=request.kernel_ref,
        )
        return self._view(self._state.images.put(record))

    async def promote(self, ref: str, emit: Emit) -> ImageView:
        """Take the files of a registered image into the cache: from then on the image does without them."""
        record = self._get(ref)
        if record.rootfs_path is None:
            raise ConflictError(f"image {record.name} is banger's already", hint=f"banger image show {record.name}")
        plan = Plan("image.promote")
        image = add_image(plan, RegisteredImage(record.name, record.rootfs_path, record.seed_path))
        values = await run_well(self._engine, plan, emit)
        disks = ImageDisks(values[image.rootfs.node], values[image.seed.node])
        return self._view(self._state.images.put(_promoted(record, disks)))

    async def _pull_own(self, emit: Emit) -> ImageView:
        plan = Plan("image.pull")
        add_image(plan, self._shelf.find(DEFAULT_IMAGE))
        await run_well(self._engine, plan, emit)
        return await self.show(DEFAULT_IMAGE)

    def _get(self, ref: str) -> ImageRecord:
        record = self._shelf.record(ref)
        if record is None:
            raise NotFoundError(f"there is no image called {ref[:80]!r}", hint="banger image list")
        return record

    def _users_of_own(self) -> list[str]:
        return [one.name for one in self._state.vms.all() if one.request.image == DEFAULT_IMAGE]

    def _users(self, record: ImageRecord) -> list[str]:
        """VMs that were made of the image by any of its names, or whose disk lies on its root disk."""
        root = record.disks.rootfs.digest if record.disks is not None else None
        names = []
        for vm in self._state.vms.all():
            named = self._shelf.record(vm.request.image)
            inputs = [one.value for lease in self._state.journal.of_vm(vm.id) for one in lease.inputs.values()]
            lies_on = root is not None and root in digests_in(self._state, inputs)
            if (named is not None and named.name == record.name) or lies_on:
                names.append(vm.name)
        return names

    def _view(self, record: ImageRecord) -> ImageView:
        disks, pulled = record.disks, record.pulled
        sound = disks is not None and self._shelf.has_disks(disks)
        layers = pulled.layers if pulled is not None else ()
        return ImageView(
            name=record.name,
            source=record.source,
            state="ready" if sound else "files" if record.rootfs_path is not None else "damaged",
            digest=pulled.digest if pulled is not None else None,
            layers=len(layers),
            layer_bytes=sum(layer.size for layer in {layer.digest: layer for layer in layers}.values()),
            root_bytes=disks.rootfs.size if disks is not None else None,
            work_bytes=disks.seed.size if disks is not None else None,
            disk_bytes=sum(self._state.cas.disk_bytes(one) for one in _artifacts(record)),
            root_digest=disks.rootfs.digest if disks is not None else None,
            work_digest=disks.seed.digest if disks is not None else None,
            system=disks.facts.name if disks is not None else "",
            has_ssh=disks is None or disks.facts.has_sshd or record.provisioned or pulled is None,
            provisioned=record.provisioned,
            added_at=record.added_at,
            kernel_ref=record.kernel_ref,
            vms=self._users(record),
        )


def _catalog_view(entry: Entry) -> ImageView:
    return ImageView(entry.name, " or ".join(map(str, entry.sources)), "catalog", system=entry.description)


def _artifacts(record: ImageRecord) -> set[Digest]:
    found = {layer.digest for layer in record.pulled.layers} if record.pulled is not None else set()
    if record.pulled is not None:
        found.add(record.pulled.config.digest)
    if record.disks is not None:
        found |= {record.disks.rootfs.digest, record.disks.seed.digest}
    return found


def _promoted(record: ImageRecord, disks: ImageDisks) -> ImageRecord:
    return ImageRecord(name=record.name, source=record.source, disks=disks, kernel_ref=record.kernel_ref)
