"""Kernels by name: which one a VM boots from, what there is, and taking kernels in and out."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from banger.engine.known import look_up
from banger.engine.observe import Emit
from banger.engine.run import Engine
from banger.kernels.catalog import ARCHITECTURE, Entry, load_catalog
from banger.kernels.export import export_kernel
from banger.model.action import Flavour
from banger.model.errors import ConflictError, NotFoundError
from banger.model.handles import KernelFiles
from banger.model.kernel import DEFAULT_KERNEL, ImportRequest, KernelView, check_kernel_name
from banger.model.kernel_source import BundleKernel, DebianKernel, ImportedKernel, KernelChoice, KernelSource
from banger.model.vm import VmRequest
from banger.oci.source import in_thread
from banger.plan.kernel import DEFAULT_CHOICE, SOURCE_NODE, plan_kernel, plan_kernel_source
from banger.store.kernels import KernelRecord
from banger.store.state import State


class Kernels:
    """Kernels of one state directory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state: State = engine.state

    def choice(self, request: VmRequest) -> KernelChoice:
        """The kernel of a VM: the one asked for, the one its image names, or the usual one. Raises NotFoundError."""
        return self._find(name_for(self._state, request))

    def keep(self, request: VmRequest) -> None:
        """Have the kernel that a VM asked for stay by its name as long as the VM may be started again."""
        name = name_for(self._state, request)
        if name != DEFAULT_KERNEL and self._state.kernels.get(name) is None:
            choice = self._find(name)
            files = self._files(choice)
            self._state.kernels.put(choice, () if files is None else (files.bzimage.digest, files.modules.digest))

    def all(self) -> list[KernelView]:
        """Every kernel that a VM could have, by name."""
        catalog = load_catalog(os.environ)
        records = {record.name: record for record in self._state.kernels.all()}
        entries = {entry.name: entry for entry in catalog.all()}
        users = self._users()
        return [
            self._view(name, records.get(name), entries.get(name), users.get(name, ()))
            for name in sorted({*records, *entries})
        ]

    def show(self, name: str) -> KernelView:
        """One kernel. Raises NotFoundError."""
        for view in self.all():
            if view.name == name:
                return view
        raise _unknown(name)

    async def pull(self, name: str, emit: Emit) -> KernelView:
        """Fetch a kernel that is in a catalog, as the catalog has it now, and keep it. Raises NotFoundError."""
        entry = load_catalog(os.environ).get(name)
        record = self._state.kernels.get(name)
        if record is not None and isinstance(record.source, ImportedKernel):
            raise ConflictError(
                f"{name} was imported here: there is nothing to pull", hint=f"banger kernel show {name}"
            )
        if entry is None:
            raise _unknown(name)
        self._ask_again(entry.choice())
        await self._take_in(entry.choice(), "kernel.pull", emit)
        return self.show(name)

    async def take(self, request: ImportRequest, emit: Emit) -> KernelView:
        """Import a kernel from files. Raises SpecError if no VM can boot from it, ConflictError for a taken name."""
        name = check_kernel_name(request.name)
        self._refuse_taken(name)
        with self._state.cas.uses.operation():  # what the first run takes in must be there for the second
            values = await self._engine.run(plan_kernel_source(request), emit)
            source: ImportedKernel = values[SOURCE_NODE]
            self._refuse_taken(name)
            await self._take_in(KernelChoice(name, source), "kernel.import", emit)
        return self.show(name)

    async def export(self, name: str, dest: Path, emit: Emit) -> None:
        """Write a kernel into a new directory, fetching it first if it is not here."""
        entry = load_catalog(os.environ).get(name)
        plan, node = plan_kernel(self._find(name), "kernel.export")
        with self._state.cas.uses.operation():
            files: KernelFiles = (await self._engine.run(plan, emit))[node.node]
            manifest = {
                "name": name,
                "distro": entry.distro if entry else "",
                "arch": ARCHITECTURE,
                "kernel_version": files.release,
                "description": entry.description if entry else "",
            }
            image, modules = (self._state.cas.path(one.digest) for one in (files.bzimage, files.modules))
            await in_thread(lambda stop: export_kernel(image, modules, dest, manifest, stop.check))

    def remove(self, name: str) -> KernelView:
        """Forget a kernel; what nothing else needs of it goes with the next prune, or at once if that is sure.

        Raises NotFoundError, and ConflictError that names the VMs which use it.
        """
        view = self.show(name)
        if view.used_by:
            names = ", ".join(view.used_by)
            raise ConflictError(
                f"kernel {name} is in use by {names}", hint=f"banger vm delete {' '.join(view.used_by)}"
            )
        if not view.kept and not view.here:
            raise NotFoundError(f"kernel {name} is not here: it is only in the catalog", hint="banger kernel list")
        choice = self._find(name)
        self._state.kernels.remove(name)
        self._forget(choice)
        return view

    def _find(self, name: str) -> KernelChoice:
        record = self._state.kernels.get(name)
        if record is not None:
            return record.choice
        entry = load_catalog(os.environ).get(name)
        if entry is not None:
            return entry.choice()
        if name == DEFAULT_KERNEL:
            return DEFAULT_CHOICE
        raise _unknown(name)

    def _refuse_taken(self, name: str) -> None:
        if self._state.kernels.get(name) is not None:
            raise ConflictError(f"there is a kernel called {name} already", hint=f"banger kernel rm {name}")
        if load_catalog(os.environ).get(name) is not None:
            raise ConflictError(f"{name} is the name of a kernel in the catalog", hint="choose another name")

    async def _take_in(self, choice: KernelChoice, what: str, emit: Emit) -> None:
        plan, node = plan_kernel(choice, what)
        with self._state.cas.uses.operation():
            files: KernelFiles = (await self._engine.run(plan, emit))[node.node]
            self._state.kernels.put(choice, (files.bzimage.digest, files.modules.digest))

    def _ask_again(self, choice: KernelChoice) -> None:
        """Have what a package stands for asked anew, however young the answer is."""
        plan, _node = plan_kernel(choice, "kernel.pull")
        graph = plan.graph()
        for node, digest in look_up(self._state, plan, graph).digests.items():
            if graph.nodes[node].action.flavour is Flavour.QUERY:
                self._state.answers.outdate(digest)

    def _files(self, choice: KernelChoice) -> KernelFiles | None:
        """What boots, if it is all here."""
        plan, node = plan_kernel(choice, "kernel.show")
        output = look_up(self._state, plan, plan.graph()).outputs.get(node.node)
        return None if output is None else msgspec.convert(output.value, KernelFiles)

    def _forget(self, choice: KernelChoice) -> None:
        """Drop the records that lead to its artifacts, and those artifacts that nothing else keeps or speaks of."""
        from banger.store.roots import mark

        plan, _node = plan_kernel(choice, "kernel.rm")
        known = look_up(self._state, plan, plan.graph())
        mine = {artifact for output in known.outputs.values() for artifact in output.artifacts}
        for node, digest in known.digests.items():
            if plan.graph().nodes[node].action.flavour is Flavour.BUILD:
                self._state.actions.forget(digest)
        if isinstance(choice.source, ImportedKernel):
            given = (choice.source.image, choice.source.modules, choice.source.initrd)
            mine.update(file.digest for file in given if file is not None)
        kept = set(mark(self._state))
        used = {artifact for record in self._state.actions.all() for artifact in record.output.artifacts}
        for artifact in mine - kept - used:
            self._state.cas.remove(artifact)

    def _users(self) -> dict[str, list[str]]:
        users: dict[str, list[str]] = {}
        for record in self._state.vms.all():
            users.setdefault(name_for(self._state, record.request), []).append(record.name)
        return users

    def _view(self, name: str, record: KernelRecord | None, entry: Entry | None, users: Iterable[str]) -> KernelView:
        if record is not None:
            choice = record.choice
        else:
            assert entry is not None, "a name is in one of the two"
            choice = entry.choice()
        files = self._files(choice)
        known = entry.kernel_version if entry else ""
        return KernelView(
            name=name,
            release=files.release if files else known,
            architecture=ARCHITECTURE,
            source=_describe(choice.source, entry),
            origin="imported" if isinstance(choice.source, ImportedKernel) else "catalog",
            here=files is not None,
            kept=record is not None,
            size_bytes=files.bzimage.size + files.modules.size if files else _to_fetch(choice.source),
            description=entry.description if entry else "",
            used_by=sorted(users),
        )


def name_for(state: State, request: VmRequest) -> str:
    """The name of a VM's kernel."""
    return request.kernel or named_by_image(state, request.image) or DEFAULT_KERNEL


def named_by_image(state: State, image: str) -> str | None:
    """The kernel that an image says it wants; most want none in particular."""
    record = state.images.find(image)
    return None if record is None else record.kernel_ref


def _describe(source: KernelSource, entry: Entry | None) -> str:
    if isinstance(source, DebianKernel):
        return f"Debian's archive: {source.package}"
    if isinstance(source, BundleKernel):
        return entry.places[0] if entry and entry.sha256 == source.sha256 else f"bundle sha256:{source.sha256[:12]}"
    return "imported from files"


def _to_fetch(source: KernelSource) -> int | None:
    return source.size if isinstance(source, BundleKernel) else None


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there is no kernel called {name[:80]!r}", hint="banger kernel list")
