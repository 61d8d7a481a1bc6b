"""`banger doctor` says what a start would say, in the same words."""

from pathlib import Path

import pytest

from banger.engine import doctor
from banger.host import tools
from banger.host.tools import get_tool
from banger.model.errors import HostError, SpecError
from banger.model.kernel import DEFAULT_KERNEL, KernelView
from banger.model.views import CheckView

pytestmark = pytest.mark.anyio

USUAL = KernelView(DEFAULT_KERNEL, "6.1", "x86_64", "Debian's archive", "catalog", here=False, kept=False)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def checks(state: Path, kernels: list[KernelView]) -> dict[str, CheckView]:
    return {check.name: check for check in await doctor.check_host(state, lambda: kernels)}


@pytest.mark.requirement("DOC-007", "DOC-009")
async def test_a_missing_program_is_told_as_whoever_needs_it_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "_SYSTEM_FOLDERS", ())
    found = await checks(tmp_path, [USUAL])
    for name in doctor._TOOLS:
        with pytest.raises(HostError) as caught:
            get_tool(name)
        assert (found[name].status, found[name].detail) == ("fail", caught.value.message)
        assert found[name].hint == caught.value.hint
        assert str(found[name].hint).startswith("sudo apt-get install ")
    assert found["acceleration"].status == "fail"


async def test_the_usual_kernel_is_well_if_it_is_here_or_in_the_catalog(tmp_path: Path) -> None:
    assert (await checks(tmp_path, [USUAL]))["kernel"].status == "ok"
    missing = (await checks(tmp_path, []))["kernel"]
    assert (missing.status, missing.hint) == ("fail", "banger kernel list")


async def test_a_catalog_that_cannot_be_read_is_a_failed_check_and_no_error(tmp_path: Path) -> None:
    def broken() -> list[KernelView]:
        raise SpecError("kernel catalog /x: no such file", hint="unset BANGER_KERNEL_CATALOG")

    found = {check.name: check for check in await doctor.check_host(tmp_path, broken)}
    assert (found["kernel"].status, found["kernel"].hint) == ("fail", "unset BANGER_KERNEL_CATALOG")
