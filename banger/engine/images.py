"""Images by name: what a user means by one, asking what it is now, and keeping what was made of it.

A name that is here already is looked up and nothing more: no registry is asked on the way to a VM unless the user
wants it, or the image is not here.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from banger.debian.recipe import PACKAGES
from banger.engine.again import run_well
from banger.engine.observe import Emit
from banger.engine.run import Engine
from banger.guest.provision import family_of
from banger.model.errors import ConflictError, HostError, NotFoundError, SpecError
from banger.model.handles import File, ImageDisks, ImageFacts
from banger.model.images import Pull
from banger.model.vm import DEFAULT_IMAGE, VmRequest
from banger.oci.catalog import Entry, Source, catalog_here
from banger.oci.here import source_here
from banger.oci.reference import image_name_of
from banger.oci.source import ImageSource
from banger.plan.image import (
    DISKS_NODE,
    MANIFEST_NODE,
    ContainerImage,
    ImageSpec,
    OwnImage,
    RegisteredImage,
    StoredImage,
    stamp_of,
)
from banger.plan.machine import HostFacts
from banger.plan.pull import (
    BUNDLE_NODE,
    PROVISION_NODE,
    plan_bundle,
    plan_find,
    plan_own,
    plan_provision,
    plan_pull,
)
from banger.store.images import ImageRecord
from banger.store.state import State


class Shelf:
    """The images of one state directory; a `banger.plan.image.ImageBook`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state: State = engine.state
        self._asked: dict[str, ContainerImage] = {}
        """What a name was found to mean, by its source, until there are disks of it."""

    def find(self, text: str) -> ImageSpec:
        """What a user means by an image, as far as it is known here. Raises SpecError for what cannot be one."""
        record = self.record(text)
        if record is None and text == DEFAULT_IMAGE:
            return OwnImage(text)
        if record is None and (entry := self.entry(text)) is not None:
            return _of_catalog(entry, entry.sources[0])
        source = record.source if record is not None else self.source(text).full
        if source in self._asked:
            return self._asked[source]
        return self._of_record(record) if record is not None else ContainerImage(self._free_name(text), source)

    def _of_record(self, record: ImageRecord) -> ImageSpec:
        if record.disks is not None and self.has_disks(record.disks):
            return StoredImage(record.name, record.disks)
        if record.rootfs_path is not None:
            return RegisteredImage(record.name, record.rootfs_path, record.seed_path)
        if (entry := self._entry_of(record)) is not None:
            return _of_catalog(entry, entry.sources[0])
        if record.pulled is None:
            raise NotFoundError(
                f"the disks of image {record.name!r} have gone", hint=f"banger image delete {record.name}"
            )
        return ContainerImage(record.name, record.source, record.pulled)

    def record(self, text: str) -> ImageRecord | None:
        """The image of a name or of a source, if it is here."""
        found = self._state.images.find(text)
        if found is not None or text == DEFAULT_IMAGE or self.entry(text) is not None:
            return found
        try:
            return self._state.images.find(self.source(text).full)
        except SpecError:
            return None

    def entry(self, text: str) -> Entry | None:
        """The image of that name in the catalog. Raises SpecError for a catalog that cannot be read."""
        return catalog_here().get(text)

    def _entry_of(self, record: ImageRecord) -> Entry | None:
        """The entry that an image came from; one with its name that was pulled from elsewhere is another image."""
        entry = self.entry(record.name)
        return entry if entry is not None and record.source in map(str, entry.sources) else None

    def source(self, text: str) -> ImageSource:
        """Where an image comes from. Raises SpecError."""
        return source_here(text, self._state.clock)

    def has_disks(self, disks: ImageDisks) -> bool:
        """Whether both are in the cache."""
        return self._state.cas.has(disks.rootfs.digest) and self._state.cas.has(disks.seed.digest)

    async def have_for(self, request: VmRequest, emit: Emit, host: HostFacts) -> None:
        """Have what a VM is to be made of. A command alone goes through its agent, and needs no SSH. Raises as both."""

        def quietly(event: Mapping[str, Any]) -> None:
            if event["event"] != "summary":  # the end of a run that comes first is not what the user waits for
                emit(event)

        await self.have(request.image, request.pull, quietly, host, to_boot=True)
        if request.wait_ssh:
            await self.have_ssh(request.image, quietly, host)

    async def have(
        self, text: str, pull: Pull, emit: Emit, host: HostFacts, *, name: str | None = None, to_boot: bool = False
    ) -> None:
        """Have the disks of an image, asking for and making what is missing; `to_boot`: and what any boot needs.

        Raises NotFoundError for an image that is not here and is not to be pulled, and what asking, fetching and
        making raise.
        """
        if text == DEFAULT_IMAGE and self.record(text) is None:
            return
        record = self.record(text)
        entry = self.entry(text) if record is None else self._entry_of(record)
        if entry is not None:
            if record is None or not self._is_ready(record) or pull == "always":
                await self._have_of_catalog(entry, pull, emit, host if to_boot else None)
            return
        wanted = await self._ask(text, pull, emit, name)
        if wanted is not None:
            values = await run_well(self._engine, plan_pull(wanted, host if to_boot else None), emit)
            self._keep(wanted, values[DISKS_NODE])

    async def _have_of_catalog(self, entry: Entry, pull: Pull, emit: Emit, host: HostFacts | None) -> None:
        """Have an image of the catalog from the first of its sources that can be had; of each other, say why not."""
        if pull == "never":
            raise _not_here(entry.name)
        for source, following in zip(entry.sources, (*entry.sources[1:], None), strict=True):
            try:
                await self._have_from(entry, source, emit, host)
            except (HostError, NotFoundError) as error:
                if following is None:
                    raise
                said = error.message.partition("\n")[0]
                text = f"{entry.name} cannot be had from {source} ({said}); trying {following}"
                emit({"event": "notice", "at": self._state.clock.monotonic(), "text": text})
            else:
                return

    async def _have_from(self, entry: Entry, source: Source, emit: Emit, host: HostFacts | None) -> None:
        image = _of_catalog(entry, source)
        if isinstance(image, OwnImage):
            plan, own = plan_own(image, host)
            values = await run_well(self._engine, plan, emit)
            facts = ImageFacts(("debian",), name="Debian GNU/Linux", has_sshd=True)
            disks = ImageDisks(values[own.rootfs.node], values[own.seed.node], facts)
            self._state.images.put(ImageRecord(name=entry.name, source=str(source), disks=disks))
            return
        if source.sha256 is not None:
            assert source.size is not None
            plan = plan_bundle(entry.name, f"sha256:{source.sha256}", source.size)
            bundle: File = (await run_well(self._engine, plan, emit))[BUNDLE_NODE]
            image = ContainerImage(entry.name, f"docker-archive:{self._state.cas.path(bundle.digest)}")
        asked = await self._engine.run(plan_find(image), emit)
        found = ContainerImage(entry.name, image.source, asked[MANIFEST_NODE])
        values = await run_well(self._engine, plan_pull(found, host), emit)
        self._keep(found, values[DISKS_NODE], str(source))

    async def _ask(self, text: str, pull: Pull, emit: Emit, name: str | None) -> ContainerImage | None:
        """Find out what an image is, if need be; returns it if there are no disks of it yet."""
        spec, record = self.find(text), self.record(text)
        if pull == "never":
            if isinstance(spec, ContainerImage):
                raise _not_here(text)
            return None
        if record is not None and record.pulled is None:
            return None
        is_known = not isinstance(spec, ContainerImage) or spec.pulled is not None
        is_renamed = name is not None and (record is None or name != record.name)
        if is_known and pull == "missing" and not self._has_changed(record) and not is_renamed:
            return spec if isinstance(spec, ContainerImage) else None
        source = record.source if record is not None else self.source(text).full
        asked = ContainerImage(name or spec.name, source)
        values = await self._engine.run(plan_find(asked), emit)
        found = ContainerImage(asked.name, source, values[MANIFEST_NODE])
        if record is not None and not is_renamed and self._is_of(record, found):
            self._asked.pop(source, None)
            if self._has_changed(record):
                self._state.images.put(msgspec.structs.replace(record, stamp=self._stamp(source)))
            return None
        self._asked[source] = found
        return found

    def _is_of(self, record: ImageRecord, found: ContainerImage) -> bool:
        """Whether the disks that are here are those of that image."""
        assert found.pulled is not None
        same = record.pulled is not None and record.pulled.digest == found.pulled.digest
        return same and record.disks is not None and self.has_disks(record.disks)

    def _is_ready(self, record: ImageRecord) -> bool:
        return record.disks is not None and self.has_disks(record.disks)

    def _keep(self, image: ContainerImage, disks: ImageDisks, source: str | None = None) -> None:
        """From now on these disks have the image's name. `source`: where it came from, if layers did otherwise."""
        self._asked.pop(image.source, None)
        before = self._state.images.find(image.name)
        record = ImageRecord(
            name=image.name,
            kernel_ref=before.kernel_ref if before is not None else None,
            source=source or image.source,
            pulled=image.pulled,
            disks=disks,
            stamp=self._stamp(image.source),
        )
        self._state.images.put(record)

    async def have_ssh(self, text: str, emit: Emit, host: HostFacts) -> None:
        """Install SSH in an image that has none, unless that was done. Raises SpecError if nobody knows how."""
        record = self.record(text)
        if record is None or record.disks is None or record.pulled is None:
            return
        if record.provisioned or record.disks.facts.has_sshd:
            return
        family = family_of(record.disks.facts.os_ids)
        if family is None:
            said = record.disks.facts.name or "a system that says nothing of itself"
            raise SpecError(
                f"image {record.name} has no SSH, and how to install it is not known for {said[:80]!r}",
                hint=f"banger vm run --image {record.name} -- COMMAND, which needs none",
            )
        values = await run_well(self._engine, plan_provision(record.name, record.disks, family, host), emit)
        disks = msgspec.structs.replace(record.disks, rootfs=values[PROVISION_NODE])
        self._state.images.put(msgspec.structs.replace(record, disks=disks, provisioned=True))

    def check_name(self, name: str, source: str) -> None:
        """Raise ConflictError if another image has the name, SpecError if none can."""
        if image_name_of(name) != name:
            raise SpecError(f"{name[:80]!r} cannot be an image's name", hint=f"use {image_name_of(name)}")
        taken = self._state.images.find(name)
        if name == DEFAULT_IMAGE or (taken is not None and taken.name == name and taken.source != source):
            raise ConflictError(f"there is an image called {name} already", hint=f"banger image show {name}")

    def _has_changed(self, record: ImageRecord | None) -> bool:
        """Whether the files that an image is read from are others now. To look at them costs nothing."""
        if record is None:
            return False
        stamp = self._stamp(record.source)
        return bool(stamp) and stamp != record.stamp

    def _stamp(self, source: str) -> str:
        """What tells the files of an image from others; empty for a registry's, and for files that are not there."""
        file = self.source(source).file
        return "" if file is None else stamp_of(str(file))

    def _free_name(self, text: str) -> str:
        """The name that follows from a source; a longer one if another image has it."""
        source = self.source(text)
        taken = self._state.images.find(source.image_name)
        if source.image_name == DEFAULT_IMAGE or (taken is not None and taken.name == source.image_name):
            return image_name_of(source.full)
        return source.image_name


def _of_catalog(entry: Entry, source: Source) -> OwnImage | ContainerImage:
    """What a source of a catalog's image is to a plan."""
    if source.packages is not None:
        return OwnImage(entry.name, tuple(sorted({*PACKAGES, *source.packages})))
    return ContainerImage(entry.name, str(source))


def _not_here(text: str) -> NotFoundError:
    return NotFoundError(f"image {text!r} is not here, and is not to be pulled", hint=f"banger image pull {text}")
