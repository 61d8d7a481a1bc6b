"""The probe of `doctor --deep`: every end is an answer, and the VM goes, whatever happens."""

import anyio
import pytest

from banger.engine.observe import Emit
from banger.engine.probe import probe_vm
from banger.guest.exec_session import ExecSession
from banger.model.errors import GuestError, HostError
from banger.model.exec import ExecRequest
from banger.model.vm import VmRequest, VmView
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Vms:
    """VMs of which one thing or another does not work."""

    def __init__(self, *, boots: bool = True, hangs: bool = False) -> None:
        self.boots, self.hangs = boots, hangs
        self.there: list[str] = []
        self.asked: list[VmRequest] = []

    async def create_vm(self, request: VmRequest, emit: Emit) -> VmView:
        self.asked.append(request)
        if not self.boots:
            raise HostError("no room", hint="banger cache prune")
        self.there.append("1")
        return VmView("1", str(request.name), "running", request.image, request.sizes, 0.0)

    async def exec_vm(self, ref: str, request: ExecRequest) -> ExecSession:
        if self.hangs:
            await anyio.sleep_forever()
        raise GuestError("the agent has gone")

    async def delete_vm(self, ref: str, emit: Emit) -> None:
        self.there.remove(ref)


def quiet(_event: object) -> None:
    """Nobody listens."""


async def test_a_vm_that_cannot_be_made_is_an_answer_with_its_hint() -> None:
    (check,) = await probe_vm(Vms(boots=False), FakeClock(), quiet)
    assert (check.name, check.status, check.detail, check.hint) == (
        "probe: boot",
        "fail",
        "no room",
        "banger cache prune",
    )


async def test_the_vm_is_small_boots_and_is_nobody_elses() -> None:
    vms = Vms(boots=False)
    await probe_vm(vms, FakeClock(), quiet)
    await probe_vm(vms, FakeClock(), quiet)
    first, second = vms.asked
    assert first.cold
    assert not first.wait_ssh
    assert first.sizes.memory_mib <= 512
    assert first.name != second.name


async def test_a_guest_that_goes_away_leaves_no_vm() -> None:
    vms = Vms()
    with pytest.raises(GuestError):
        await probe_vm(vms, FakeClock(), quiet)
    assert vms.there == []


async def test_ctrl_c_leaves_no_vm() -> None:
    vms = Vms(hangs=True)
    with anyio.move_on_after(0.1):
        await probe_vm(vms, FakeClock(), quiet)
    assert vms.asked
    assert vms.there == []
