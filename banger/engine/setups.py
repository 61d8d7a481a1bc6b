"""Set-ups: what a request asks for, or its repository, with the content of its files where the set-up will find it."""

from contextlib import ExitStack

from banger.engine.observe import Emit
from banger.model.digest import digest_of_bytes
from banger.model.errors import SpecError
from banger.model.handles import File, LockFile
from banger.model.vm import VmRequest
from banger.plan.setup import Setup
from banger.store.state import State


async def hold_setup(state: State, request: VmRequest, emit: Emit, held: ExitStack) -> Setup | None:
    """As `find_setup`; the files stay in the CAS for as long as `held` holds, and a repository's own wish is told."""
    if request.setup is None and request.workspace is None:
        return None
    held.enter_context(state.cas.uses.operation())
    setup = await find_setup(state, request, keep=True)
    if setup is not None and request.setup is None:
        text = f"{setup.origin} asks for a set-up: {setup.label}; --no-setup goes without"
        emit({"event": "notice", "at": state.clock.monotonic(), "text": text})
    return setup


async def find_setup(state: State, request: VmRequest, *, keep: bool) -> Setup | None:
    """Say what prepares the disks of such a VM; None: nothing. `keep`: put the files into the CAS.

    Raises what `banger.workspace.setup.read_setup` raises, and SpecError for files without a checkout.
    """
    asked = request.setup
    if request.workspace is None:
        if asked is None or not asked.command:
            return None
        if asked.locks:
            raise SpecError("--setup-lock needs a PATH: it names files of a checkout")
        return Setup(asked.command, None, "--setup")
    from banger.workspace.setup import read_setup  # most VMs have none, but git's parts are needed to know

    found = await read_setup(request.workspace.path, asked)
    if found is None:
        return None
    put = state.cas.put_bytes if keep else digest_of_bytes
    locks = tuple(LockFile(path, File(put(content), len(content))) for path, content in found.files.items())
    return Setup(found.command, locks, found.origin)
