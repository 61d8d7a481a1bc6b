"""Forwarded ports, with a real QEMU that has a network and no guest."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.host.tools import get_tool
from banger.model.errors import ConflictError, NotFoundError, SpecError
from banger.model.vm import Forward
from banger.vm.forwarding import add_forward, check_forward, list_forwards, remove_forward
from banger.vm.ports import can_listen, free_port, loopback_address
from tests.fakes.installation import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a QEMU."""
    folder = tmp_path_factory.mktemp("vm")
    argv = [str(get_tool("qemu-system-x86_64")), "-S", "-nodefaults", "-display", "none", "-machine", "none"]
    argv += ["-netdev", "user,id=net,restrict=on", "-qmp", "unix:qmp.sock,server=on,wait=off"]
    with subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL) as process:
        wait_until((folder / "qmp.sock").exists)
        yield folder
        process.kill()


async def test_a_port_listens_from_when_it_is_added_until_it_is_removed(machine: Path) -> None:
    forward = Forward(free_port(), 80)
    await add_forward(machine, forward)
    assert await list_forwards(machine) == [forward]
    socket.create_connection((forward.host, forward.host_port), 5).close()
    await remove_forward(machine, forward)
    assert await list_forwards(machine) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((forward.host, forward.host_port), 5)
    with pytest.raises(NotFoundError):
        await remove_forward(machine, forward)


async def test_a_port_that_is_taken_is_one_clear_error_that_names_it(machine: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        assert not can_listen(Forward(port, 80))
        with pytest.raises(ConflictError, match=f"port {port} of 127.0.0.1 cannot be forwarded: it is in use"):
            await add_forward(machine, Forward(port, 80))
    assert can_listen(Forward(port, 80))
    assert not can_listen(Forward(port, 80, "192.0.2.1"))


async def test_each_loopback_address_has_ports_of_its_own(machine: Path) -> None:
    port = free_port()
    forwards = [
        Forward(port, 80, "127.77.0.1"),
        Forward(port, 81, "127.77.0.2"),
        Forward(port, 53, "127.77.0.2", "udp"),
    ]
    for forward in forwards:
        await add_forward(machine, forward)
    assert await list_forwards(machine) == forwards
    for forward in forwards:
        await remove_forward(machine, forward)


@pytest.mark.parametrize(
    "forward",
    [Forward(0, 80), Forward(80, 0), Forward(65536, 80), Forward(80, 80, ""), Forward(80, 80, "127.0.0.1 x"),
     Forward(80, 80, "::1"), Forward(80, 80, "localhost"), Forward(80, 80, "127.0.0.1\nquit")],
)  # fmt: skip
async def test_nothing_but_addresses_and_numbers_reaches_the_monitor(machine: Path, forward: Forward) -> None:
    with pytest.raises(SpecError):
        check_forward(forward)
    with pytest.raises(SpecError):
        await add_forward(machine, forward)


def test_a_vm_keeps_its_address_and_no_other_has_it() -> None:
    first = loopback_address("a" * 32, set())
    assert loopback_address("a" * 32, set()) == first
    second = loopback_address("a" * 32, {first})
    assert second != first
    for address in (first, second):
        octets = [int(octet) for octet in address.split(".")]
        assert octets[0] == 127
        assert 64 <= octets[1] <= 127
        assert octets[3] not in {0, 255}
