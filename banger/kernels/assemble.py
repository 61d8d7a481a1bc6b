"""Make of a kernel image, modules and an initrd what a VM boots from, after a look at each of them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from banger.kernels.identify import identify
from banger.kernels.initrd import INITRD_LARGEST_BYTES, modules_in
from banger.kernels.modules import Members, builtin_names, check_loadable, write_tar
from banger.kernels.needs import built_in, check
from banger.model.errors import HostError, SpecError

IMAGE_LARGEST_BYTES: Final = 512 * 1024**2


def assemble(image: Path, sources: Sequence[Callable[[], Members]], out: Path, what: str) -> str:
    """Write the tar of modules to `out`, and return the kernel's release. Blocks for some seconds.

    `sources` are read twice: once for their list of what is built in. Raises SpecError that says what the kernel is
    instead, what it lacks, or which of its modules is not its own.
    """
    try:
        kernel = identify(read_at_most(image, IMAGE_LARGEST_BYTES, what), what)
        listed = set[str]().union(*(builtin_names(source()) for source in sources))
        built = built_in(kernel.vmlinux, kernel.config, listed)
        modules = write_tar(out, kernel.release, chain.from_iterable(source() for source in sources), built)
        check(f"{what} (Linux {kernel.release})", built, modules)
        check_loadable(out, kernel.release, what)
    except HostError as error:
        raise SpecError(f"{what}: {error.message}", hint=error.hint) from error
    return kernel.release


def modules_of_initrd(initrd: Path, what: str) -> Iterator[tuple[str, bytes]]:
    """The modules in an initrd."""
    return modules_in(read_at_most(initrd, INITRD_LARGEST_BYTES, what), what)


def read_at_most(path: Path, limit_bytes: int, what: str) -> bytes:
    """The content of a file. Raises SpecError if it is longer."""
    with path.open("rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise SpecError(f"{what}: larger than {limit_bytes} bytes")
    return data
