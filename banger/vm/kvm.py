"""Find out whether KVM runs a real kernel here, by having it run a tiny guest that does what one does.

An openable /dev/kvm proves little: on a host that is itself a PVM guest, virtual machines are created and small ones
run, and then Debian's kernel dies at an instruction that KVM cannot emulate, or needs minutes to its first line.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from banger.host.process import Finished, run
from banger.model.errors import DeadlineError, HostError
from banger.vm import Accelerator
from banger.vm.argv import SANDBOX
from banger.vm.probe_image import SUCCESS_STATUS, probe_rom

_DEADLINE_S = 5.0
_OUTPUT_LIMIT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class KvmProbe:
    """Whether KVM can be used; `reason` says why not, or what was seen to work."""

    usable: bool
    reason: str


async def probe_kvm(
    binary: Path,
    *,
    device: Path = Path("/dev/kvm"),
    modules: Path = Path("/sys/module"),
    deadline_s: float = _DEADLINE_S,
) -> KvmProbe:
    """Say whether KVM runs a guest of banger's. Takes well below a second where it works, `deadline_s` at most."""
    refusal = cannot_open(device)
    if refusal is not None:
        return KvmProbe(usable=False, reason=refusal)
    if (modules / "kvm_pvm").exists():
        return KvmProbe(
            usable=False,
            reason="kvm_pvm: this host is a virtual machine without nested virtualization; Linux dies in it",
        )
    return await trial(binary, Accelerator.KVM, deadline_s=deadline_s)


def host_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name the host's processor with all that a guest under ``-cpu host`` can tell of it: model, stepping, features."""
    told = {}
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0].splitlines():
        name, _, value = line.partition(":")
        told[name.strip()] = value.strip()
    flags = " ".join(sorted(told.get("flags", "").split()))
    digest = hashlib.sha256(flags.encode()).hexdigest()
    names = ("vendor_id", "cpu family", "model", "model name", "stepping", "microcode")
    return " ".join([*(told.get(name, "") for name in names), digest])


def cannot_open(device: Path) -> str | None:
    """Return why this user cannot open the device, and what to do about it; None if it opens."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"{device} is not there: no virtualization in this processor, in its firmware settings or in this kernel"
    except PermissionError:
        return f"{device}: permission denied; add your user to the group kvm and log in again"
    except OSError as error:
        return f"{device}: {error.strerror}"
    return None


async def trial(binary: Path, accelerator: Accelerator, *, deadline_s: float = _DEADLINE_S) -> KvmProbe:
    """Run the probe's guest under an accelerator; it counts only if the guest itself says that all of it worked."""
    with tempfile.TemporaryDirectory(prefix="banger-kvm-") as folder:
        _write_rom(Path(folder, "probe.rom"))
        try:
            ended = await run(
                _argv(binary, accelerator),
                deadline_s=deadline_s,
                cwd=Path(folder),
                output_limit_bytes=_OUTPUT_LIMIT_BYTES,
            )
        except DeadlineError:
            return KvmProbe(usable=False, reason=f"a trial guest under {accelerator} did not end in {deadline_s:g} s")
        except HostError as error:
            return KvmProbe(usable=False, reason=f"a trial guest under {accelerator}: {error.message}")
    if ended.status == SUCCESS_STATUS:
        return KvmProbe(usable=True, reason=f"a trial guest under {accelerator} ran long-mode code to its end")
    return KvmProbe(usable=False, reason=f"a trial guest under {accelerator} failed: {_what_it_said(ended)}")


def _write_rom(path: Path) -> None:
    path.write_bytes(probe_rom())


def _argv(binary: Path, accelerator: Accelerator) -> list[str]:
    cpu = "host" if accelerator is Accelerator.KVM else "max"
    return [
        *(str(binary), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-sandbox", SANDBOX),
        *("-machine", "microvm", "-accel", accelerator.value, "-cpu", cpu, "-m", "16M", "-bios", "probe.rom"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"),
    ]


def _what_it_said(ended: Finished) -> str:
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    ending = f"exit status {ended.status}" if ended.status >= 0 else f"signal {-ended.status}"
    return f"{ending}: {lines[0][:200]}" if lines else ending
