"""A QEMU, and the promise that no test leaves one behind."""

from collections.abc import Iterator

import anyio
import pytest

from banger.vm.processes import find_processes
from banger.vm.qemu import Qemu
from banger.vm.stop import kill

VM_IDS = [f"test-{number}" for number in range(4)]


@pytest.fixture
def qemu() -> Iterator[Qemu]:
    qemu = Qemu.installed()
    yield qemu
    left = [identity for vm_id in VM_IDS for identity in qemu.find(vm_id)]
    for identity in left:
        anyio.run(kill, identity)
    assert not [found for vm_id in VM_IDS for found in find_processes(f"guest=banger-{vm_id}")]
