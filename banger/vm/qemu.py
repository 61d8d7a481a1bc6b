"""QEMU as a virtual machine monitor: an ordinary process of the owner that outlives whoever started it.

Invariants: a launch that raises leaves no process; a process is recognised by its argv at any point after its start;
it inherits no descriptor but its log and a frozen state; it is signalled through a pidfd only.
"""

import hashlib
import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import anyio

from banger.host.pidfd import Pidfd, ProcessIdentity, identify, open_process
from banger.host.process import run
from banger.host.qmp import QmpProtocolError, connect_qmp
from banger.host.tools import get_tool
from banger.model.errors import BangerError, ConflictError, DeadlineError, HostError, TransientError
from banger.vm import CONSOLE_LOG, MONITOR_SOCKET, VMM_LOG, Accelerator, GuestState, Machine, VmmFacts
from banger.vm.argv import file_size_limit, process_name, qemu_argv
from banger.vm.console import CONSOLE_ROOM_BYTES, VMM_LOG_ROOM_BYTES, BoundedLog, tail
from banger.vm.processes import find_processes
from banger.vm.template import MemoryFile, MemoryUse

_ASK_AGAIN_S = 0.003
_KILL_DEADLINE_S = 5.0
_FACTS_DEADLINE_S = 20.0
_LOG_TAIL_BYTES = 2000
_PAUSED = frozenset({"paused", "prelaunch", "inmigrate", "finish-migrate", "postmigrate", "suspended", "save-vm"})
_PORT_TAKEN = "Could not set up host forwarding rule"


class Qemu:
    """The Vmm that runs everywhere: with KVM where that works, by translation where it does not."""

    def __init__(self, binary: Path, prlimit: Path) -> None:
        self._binary = binary
        self._prlimit = prlimit
        self._with_us = (str(get_tool("setpriv")), "--pdeathsig=KILL")
        # Nobody waits for a machine that is only made to be frozen.
        self._behind = (str(get_tool("nice")), "-n10")

    @classmethod
    def installed(cls) -> "Qemu":
        """Return the QEMU of this machine. Raises HostError that says what to install."""
        return cls(get_tool("qemu-system-x86_64"), get_tool("prlimit"))

    async def facts(self) -> VmmFacts:
        """Say which QEMU this is."""
        version = await run([self._binary, "--version"], deadline_s=_FACTS_DEADLINE_S)
        accelerators = await run([self._binary, "-accel", "help"], deadline_s=_FACTS_DEADLINE_S)
        listed = accelerators.check("list the accelerators of QEMU").stdout.decode().split()
        return VmmFacts(
            binary=self._binary,
            version=version.check("ask QEMU for its version").stdout.decode().partition("\n")[0],
            binary_sha256=await anyio.to_thread.run_sync(_sha256_of, self._binary),
            accelerators=tuple(accelerator for accelerator in Accelerator if accelerator.value in listed),
        )

    async def launch(
        self,
        machine: Machine,
        *,
        deadline_s: float,
        memory: MemoryFile | None = None,
        descriptors: Sequence[int] = (),
        ends_with_us: bool = False,
    ) -> ProcessIdentity:
        """Start a machine and return once QEMU answers; the guest has only begun to boot.

        `memory` and `descriptors` (which QEMU inherits) are for banger.vm.qemu_template. `ends_with_us`: it is killed
        when this process ends, whatever ends it.
        """
        running = self.find(machine.vm_id)
        if running:
            raise ConflictError(f"VM {machine.vm_id} runs already as process {running[0].pid}")
        argv = qemu_argv(machine, self._binary, memory)
        if memory is not None and memory.use is MemoryUse.FREEZE:
            argv = (*self._with_us, *self._behind, *argv)
        elif ends_with_us:
            argv = (*self._with_us, *argv)
        for log in (console_log(machine), _vmm_log(machine)):
            log.create()
        # A socket of an earlier process would let us take its end for a refusal of this one.
        (machine.vm_dir / MONITOR_SOCKET).unlink(missing_ok=True)
        pid = self._spawn(machine, argv, descriptors)
        identity = identify(pid)
        if identity is None:
            _reap(pid)
            raise _launch_error(machine, "ended at once")
        with open_process(identity) as process:
            try:
                await _wait_monitor(machine, process, deadline_s)
            except BaseException:
                await _kill(process)
                raise
        return identity

    def find(self, vm_id: str) -> Sequence[ProcessIdentity]:
        """Return the processes that run this machine."""
        return find_processes(process_name(vm_id))

    async def guest_state(self, vm_dir: Path) -> GuestState:
        """Ask QEMU how its guest is."""
        async with connect_qmp(vm_dir / MONITOR_SOCKET) as client:
            answer = await client.execute("query-status")
        status = answer.get("status") if isinstance(answer, dict) else None
        if status == "running":
            return GuestState.RUNNING
        return GuestState.PAUSED if status in _PAUSED else GuestState.ENDED

    async def pause(self, vm_dir: Path) -> None:
        """Stop the guest's processors."""
        await _tell(vm_dir, "stop")

    async def resume(self, vm_dir: Path) -> None:
        """Let the guest's processors go on."""
        await _tell(vm_dir, "cont")

    async def press_power_button(self, vm_dir: Path) -> None:
        """Ask the guest to power off, through ACPI."""
        await _tell(vm_dir, "system_powerdown")

    async def quit(self, vm_dir: Path) -> None:
        """End QEMU at once, its disks flushed."""
        await _tell(vm_dir, "quit")

    def _spawn(self, machine: Machine, argv: Sequence[str], descriptors: Sequence[int]) -> int:
        limit = file_size_limit(machine)
        log = os.open(machine.vm_dir / VMM_LOG, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            process = subprocess.Popen(
                # By prlimit(1), as code between fork and exec may deadlock in a process that has threads. No core
                # file: it would hold the guest's memory.
                [str(self._prlimit), f"--fsize={limit}", "--core=0", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=machine.vm_dir,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                start_new_session=True,
                pass_fds=descriptors,
                # Python ignores SIGXFSZ, and an ignored signal stays ignored across exec: see banger.vm.console.
                restore_signals=False,
            )
        finally:
            os.close(log)
        # It is followed by its pidfd. Unless Popen believes it reaped, it warns of a child that is meant to outlive us.
        process.returncode = 0
        return process.pid


def console_log(machine: Machine) -> BoundedLog:
    """Return where the guest's serial console goes."""
    return BoundedLog(machine.vm_dir / CONSOLE_LOG, file_size_limit(machine), CONSOLE_ROOM_BYTES)


def trim_logs(identity: ProcessIdentity, vm_dir: Path) -> int:
    """Make room in the logs of a running machine for its newest output; return the bytes dropped.

    To be called now and then while the machine runs. Without it the logs stay bounded and keep their oldest output.
    """
    with open_process(identity) as process:
        if process is None:
            return 0
        # The limit it was started with, which whoever adopts a machine was not told.
        limit, _ = resource.prlimit(identity.pid, resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return 0
    rooms = ((CONSOLE_LOG, CONSOLE_ROOM_BYTES), (VMM_LOG, VMM_LOG_ROOM_BYTES))
    return sum(BoundedLog(vm_dir / name, limit, room).trim() for name, room in rooms)


def _vmm_log(machine: Machine) -> BoundedLog:
    return BoundedLog(machine.vm_dir / VMM_LOG, file_size_limit(machine), VMM_LOG_ROOM_BYTES)


async def _wait_monitor(machine: Machine, process: Pidfd | None, deadline_s: float) -> None:
    try:
        with anyio.fail_after(deadline_s):
            while process is not None and not process.has_ended():
                try:
                    async with connect_qmp(machine.vm_dir / MONITOR_SOCKET, deadline_s=deadline_s):
                        return
                except QmpProtocolError:
                    await anyio.sleep(_ASK_AGAIN_S)
    except TimeoutError as error:
        raise DeadlineError(f"VM {machine.vm_id}: QEMU does not answer after {deadline_s:g} s") from error
    raise _launch_error(machine, "ended while starting")


def _launch_error(machine: Machine, what: str) -> BangerError:
    said = tail(machine.vm_dir / VMM_LOG, _LOG_TAIL_BYTES).decode(errors="replace").strip()
    message = f"VM {machine.vm_id}: QEMU {what}" + (f":\n{said}" if said else "")
    return TransientError(message) if _PORT_TAKEN in said else HostError(message)


def _reap(pid: int) -> None:
    # Ended before it could be looked at: as a child of ours it holds its number until it is waited for.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)


async def _kill(process: Pidfd | None) -> None:
    if process is not None:
        with anyio.CancelScope(shield=True):
            process.send(signal.SIGKILL)
            await process.wait(_KILL_DEADLINE_S)


async def _tell(vm_dir: Path, command: str) -> None:
    async with connect_qmp(vm_dir / MONITOR_SOCKET) as client:
        await client.execute(command)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
