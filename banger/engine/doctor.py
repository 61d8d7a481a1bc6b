"""`banger doctor`: whether this host has what VMs need, and the command that mends what it lacks."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from banger.host.tools import get_tool
from banger.model.errors import BangerError, HostError
from banger.model.kernel import DEFAULT_KERNEL, KernelView
from banger.model.views import CheckView
from banger.vm.kvm import probe_kvm
from banger.vm.qemu import Qemu

_TOOLS = (
    *("qemu-system-x86_64", "qemu-img", "prlimit", "setpriv", "nice", "mmdebstrap", "resize2fs", "e2fsck"),
    *("ssh", "ssh-keygen", "git", "gpgv"),
)
_LOW_SPACE_BYTES = 4 * 1024**3
_LOW_MEMORY_KIB = 1024 * 1024


async def check_host(state_dir: Path, kernels: Callable[[], list[KernelView]]) -> list[CheckView]:
    """Look at everything; a check that fails is an answer."""
    return [
        *(_check_tool(name) for name in _TOOLS),
        _check_guest_programs(),
        await _check_vmm(),
        _check_kernel(kernels),
        _check_user_namespaces(),
        _check_space(state_dir),
        _check_memory(),
    ]


def _check_tool(name: str) -> CheckView:
    """Look for a program as whoever needs it does, so that what is said here is what a start would say."""
    try:
        return CheckView(name, "ok", str(get_tool(name)))
    except HostError as error:
        return CheckView(name, "fail", error.message, hint=error.hint)


def _check_guest_programs() -> CheckView:
    from banger.guest.programs import program_paths

    try:
        init, _ = program_paths()
    except BangerError as error:
        return CheckView("guest programs", "fail", error.message, hint=error.hint)
    return CheckView("guest programs", "ok", str(init.parent))


def _check_kernel(kernels: Callable[[], list[KernelView]]) -> CheckView:
    """The usual kernel is here, or the catalog knows where it is."""
    name = "kernel"
    try:
        usual = next((one for one in kernels() if one.name == DEFAULT_KERNEL), None)
    except BangerError as error:
        return CheckView(name, "fail", error.message, hint=error.hint)
    if usual is None:
        return CheckView(
            name, "fail", f"{DEFAULT_KERNEL} is neither here nor in the catalog", hint="banger kernel list"
        )
    return CheckView(name, "ok", f"{usual.name}: {usual.release if usual.here else usual.source}")


async def _check_vmm() -> CheckView:
    try:
        facts = await Qemu.installed().facts()
    except BangerError as error:
        return CheckView("acceleration", "fail", error.message, hint=error.hint)
    probe = await probe_kvm(facts.binary)
    if probe.usable:
        return CheckView("acceleration", "ok", f"KVM: {probe.reason}")
    return CheckView("acceleration", "warn", f"software emulation, several times slower: {probe.reason}")


def _check_user_namespaces() -> CheckView:
    """Images are built in a user namespace by ordinary users, who need subordinate ids for it (subuid(5))."""
    name = "user namespaces"
    if os.geteuid() == 0:
        return CheckView(name, "ok", "not needed by root")
    import pwd

    user = pwd.getpwuid(os.geteuid()).pw_name
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = path.read_text().splitlines() if path.exists() else []
        if not any(line.split(":")[0] in {user, str(os.geteuid())} for line in lines):
            hint = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
            return CheckView(name, "fail", f"{path} has no range for {user}", hint=hint)
    return CheckView(name, "ok", f"{user} has subordinate ids")


def _check_space(state_dir: Path) -> CheckView:
    free = shutil.disk_usage(state_dir).free
    detail = f"{free / 1024**3:.1f} GiB free in {state_dir}"
    if free < _LOW_SPACE_BYTES:
        return CheckView("disk space", "warn", detail, hint="banger cache prune")
    return CheckView("disk space", "ok", detail)


def _check_memory() -> CheckView:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1])
            enough = available >= _LOW_MEMORY_KIB
            return CheckView("memory", "ok" if enough else "warn", f"{available // 1024} MiB available")
    return CheckView("memory", "warn", "the kernel does not say how much is available")
