"""The nodes that make a kernel ready to boot, wherever it comes from."""

from banger.model.handles import KernelFiles
from banger.model.kernel import DEFAULT_KERNEL, ImportRequest
from banger.model.kernel_source import BundleKernel, DebianKernel, KernelChoice
from banger.plan import Plan
from banger.tasks import Ref
from banger.tasks.kernel_bundle import UnpackBundle
from banger.tasks.kernel_download import DownloadKernel
from banger.tasks.kernel_fetch import FetchKernel
from banger.tasks.kernel_import import ImportKernel
from banger.tasks.kernel_resolve import DEFAULT_PACKAGE, ResolveKernel
from banger.tasks.kernel_source import ReadKernelSource
from banger.tasks.kernel_unpack import UnpackKernel

DEFAULT_CHOICE = KernelChoice(DEFAULT_KERNEL, DebianKernel(DEFAULT_PACKAGE))
SOURCE_NODE = ReadKernelSource.kind


def add_kernel(plan: Plan, choice: KernelChoice) -> Ref[KernelFiles]:
    """Add a kernel. What is not here is fetched: by its sha256, or as Debian's signed archive has it."""
    source = choice.source
    if isinstance(source, DebianKernel):
        lock = plan.add(ResolveKernel(package=source.package), label=choice.name)
        return plan.add(UnpackKernel(package=plan.add(FetchKernel(lock=lock))))
    if isinstance(source, BundleKernel):
        bundle = plan.add(DownloadKernel(digest=source.digest, size=source.size), label=choice.name)
        return plan.add(UnpackBundle(bundle=bundle))
    return plan.add(ImportKernel(image=source.image, modules=source.modules, initrd=source.initrd), label=choice.name)


def plan_kernel(choice: KernelChoice, what: str) -> tuple[Plan, Ref[KernelFiles]]:
    """Plan to have a kernel here, and say which node puts it out."""
    plan = Plan(what)
    return plan, add_kernel(plan, choice)


def plan_kernel_source(request: ImportRequest) -> Plan:
    """Plan to take a user's files in."""
    plan = Plan("kernel.source")
    plan.add(ReadKernelSource(request=request), label=request.name)
    return plan
