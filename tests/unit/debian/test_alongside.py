"""The error of the work is the error that arrives."""

import anyio
import pytest

from banger.debian.alongside import alongside
from banger.model.errors import HostError


async def test_the_report_ends_with_the_work_and_an_error_is_not_wrapped() -> None:
    reports = 0

    async def report() -> None:
        nonlocal reports
        while True:
            reports += 1
            await anyio.sleep(0.001)

    async with alongside(report):
        await anyio.sleep(0.01)
    assert reports > 1
    with pytest.raises(HostError, match="no space"):
        async with alongside(report):
            await _fail_within_a_group()


async def _fail_within_a_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_fail)


async def _fail() -> None:
    raise HostError("no space")


async def test_an_error_of_the_report_is_raised_too() -> None:
    with pytest.raises(HostError, match="no space"):
        async with alongside(_fail):
            await anyio.sleep(10)


async def test_a_cancelled_work_is_cancelled() -> None:
    with anyio.move_on_after(0.01) as scope:
        async with alongside(anyio.sleep_forever):
            await anyio.sleep(10)
    assert scope.cancelled_caught
