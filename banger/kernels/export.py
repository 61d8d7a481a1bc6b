"""A kernel as a directory that `scripts/publish-kernel.sh` packs: vmlinux, modules/ and manifest.json."""

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from banger.model.errors import ConflictError, HostError, SpecError
from banger.store.scratch import remove_tree


def export_kernel(image: Path, modules: Path, dest: Path, manifest: dict[str, str], check: Callable[[], None]) -> None:
    """Write the directory `dest`, which must not be there yet, whole or not at all. Blocks; `check` may raise to stop.

    Raises ConflictError if there is something, SpecError if there is no directory for it, HostError.
    """
    if os.path.lexists(dest):
        raise ConflictError(f"{dest}: there is something already")
    making = dest.with_name(f".{dest.name}.{os.urandom(4).hex()}")
    try:
        making.mkdir(mode=0o755)
    except OSError as error:
        raise SpecError(f"{dest.parent}: {error.strerror}") from error
    try:
        shutil.copyfile(image, making / "vmlinux")
        _write_modules(modules, making / "modules", check)
        (making / "manifest.json").write_text(json.dumps(manifest) + "\n")
        making.rename(dest)
    except OSError as error:
        remove_tree(making, below=dest.parent)
        raise HostError(f"{dest}: {error.strerror}") from error
    except BaseException:
        remove_tree(making, below=dest.parent)
        raise


def _write_modules(modules: Path, dest: Path, check: Callable[[], None]) -> None:
    """Write what is below lib/modules/RELEASE, by names that lead nowhere else."""
    with tarfile.open(modules, "r:") as tar:
        for member in tar:
            check()
            parts = PurePosixPath(member.name).parts[3:]
            content = tar.extractfile(member) if member.isreg() else None
            if content is None or not parts or any(part in {"..", "/"} for part in parts):
                continue
            path = dest.joinpath(*parts)
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with path.open("xb") as file:
                shutil.copyfileobj(content, file)
