"""The part of the fake service that is about kernels: two in the catalog, those that are imported, in memory."""

from dataclasses import replace

from banger.daemon.service import Emit
from banger.model.errors import ConflictError, NotFoundError
from banger.model.kernel import ImportRequest, KernelView

_DEFAULT = KernelView(
    "debian-cloud", "6.1.0-56-cloud-amd64", "x86_64", "Debian's archive", "catalog", True, False, 70 << 20
)
_OTHER = KernelView("generic-6.12", "6.12", "x86_64", "https://kernels.test/generic.tar.zst", "catalog", False, False)


class FakeKernels:
    """Keeps its part of the Service protocol."""

    _kernels: dict[str, KernelView] = {_DEFAULT.name: _DEFAULT, _OTHER.name: _OTHER}  # noqa: RUF012 - replaced, never changed

    async def list_kernels(self) -> list[KernelView]:
        return [self._kernels[name] for name in sorted(self._kernels)]

    async def show_kernel(self, name: str) -> KernelView:
        if name not in self._kernels:
            raise NotFoundError(f"there is no kernel called {name!r}", hint="banger kernel list")
        return self._kernels[name]

    async def pull_kernel(self, name: str, emit: Emit) -> KernelView:
        return self._take(replace(await self.show_kernel(name), here=True, kept=True))

    async def import_kernel(self, request: ImportRequest, emit: Emit) -> KernelView:
        if request.name in self._kernels:
            raise ConflictError(f"there is a kernel called {request.name} already")
        return self._take(KernelView(request.name, "6.6.1", "x86_64", request.image, "imported", True, True, 1 << 20))

    async def export_kernel(self, name: str, directory: str, emit: Emit) -> None:
        await self.show_kernel(name)

    async def remove_kernel(self, name: str) -> KernelView:
        view = await self.show_kernel(name)
        self._kernels = {key: value for key, value in self._kernels.items() if key != name}
        return view

    def _take(self, view: KernelView) -> KernelView:
        self._kernels = self._kernels | {view.name: view}
        return view
