"""The way in: make VMs, find VMs."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import anyio.to_thread

from banger.api.calls import OnEvent, forget_events, operate
from banger.api.machine import AsyncVm, Vm
from banger.cli.client import vm_path
from banger.cli.decode import decode, decode_list
from banger.cli.forwards import parse_forward
from banger.cli.session import Session
from banger.cli.sizes import resolve
from banger.cli.start_daemon import daemon
from banger.model.vm import DEFAULT_IMAGE, VmRequest, VmView, WorkspaceRequest, check_vm_name


class Client:
    """Makes VMs and finds those that there are. Holds nothing open: it may be shared by threads, and needs no close."""

    def create(  # noqa: PLR0913 - what a VM is made of
        self,
        *,
        name: str | None = None,
        image: str = DEFAULT_IMAGE,
        vcpus: int | None = None,
        memory: str | None = None,
        disk_size: str | None = None,
        workspace: str | Path | None = None,
        branch: str | None = None,
        ports: Sequence[str] = (),
        nat: bool = True,
        on_event: OnEvent = forget_events,
    ) -> Vm:
        """Make a VM and wait until its guest answers; it stays until it is deleted.

        What is not given is as with `banger vm create`. `workspace` is a path in a git checkout, `ports` are as with
        its `-p`. `on_event` is told how it goes (banger.model.progress).
        """
        request = _request(name, image, (vcpus, memory, disk_size), workspace, branch, ports, nat=nat, ephemeral=False)
        return Vm(_make(request, on_event))

    def run(  # noqa: PLR0913 - what a VM is made of
        self,
        *,
        name: str | None = None,
        image: str = DEFAULT_IMAGE,
        vcpus: int | None = None,
        memory: str | None = None,
        disk_size: str | None = None,
        workspace: str | Path | None = None,
        branch: str | None = None,
        ports: Sequence[str] = (),
        nat: bool = True,
        on_event: OnEvent = forget_events,
    ) -> Vm:
        """Make a throw-away VM, to be used in `with`: it goes at the end of the block, or with this process."""
        request = _request(name, image, (vcpus, memory, disk_size), workspace, branch, ports, nat=nat, ephemeral=True)
        view = _make(request, on_event)
        with daemon() as client:
            return Vm(view, Session(client, view))

    def get(self, name: str) -> Vm:
        """Find a VM by its name or id. Raises NotFoundError."""
        with daemon() as client:
            return Vm(decode(VmView, client.get(vm_path(name))))

    def list(self) -> "list[Vm]":
        """Every VM, the oldest first."""
        with daemon() as client:
            return [Vm(view) for view in decode_list(VmView, client.get("/v1/vms"))]


class AsyncClient:
    """The same for an event loop: each method waits in a thread."""

    def __init__(self) -> None:
        self._client = Client()

    async def create(  # noqa: PLR0913 - what a VM is made of
        self,
        *,
        name: str | None = None,
        image: str = DEFAULT_IMAGE,
        vcpus: int | None = None,
        memory: str | None = None,
        disk_size: str | None = None,
        workspace: str | Path | None = None,
        branch: str | None = None,
        ports: Sequence[str] = (),
        nat: bool = True,
    ) -> AsyncVm:
        """As `Client.create`."""
        request = _request(name, image, (vcpus, memory, disk_size), workspace, branch, ports, nat=nat, ephemeral=False)
        return AsyncVm(Vm(await anyio.to_thread.run_sync(_make, request, forget_events)))

    async def run(  # noqa: PLR0913 - what a VM is made of
        self,
        *,
        name: str | None = None,
        image: str = DEFAULT_IMAGE,
        vcpus: int | None = None,
        memory: str | None = None,
        disk_size: str | None = None,
        workspace: str | Path | None = None,
        branch: str | None = None,
        ports: Sequence[str] = (),
        nat: bool = True,
    ) -> AsyncVm:
        """As `Client.run`, to be used in `async with`."""
        make = partial(
            self._client.run,
            name=name,
            image=image,
            vcpus=vcpus,
            memory=memory,
            disk_size=disk_size,
            workspace=workspace,
            branch=branch,
            ports=ports,
            nat=nat,
        )
        return AsyncVm(await anyio.to_thread.run_sync(make))

    async def get(self, name: str) -> AsyncVm:
        """As `Client.get`."""
        return AsyncVm(await anyio.to_thread.run_sync(self._client.get, name))

    async def list(self) -> "list[AsyncVm]":
        """As `Client.list`."""
        return [AsyncVm(vm) for vm in await anyio.to_thread.run_sync(self._client.list)]


def _make(request: VmRequest, on_event: OnEvent) -> VmView:
    with daemon() as client:
        # Attached: if this process dies meanwhile, nothing half made is left.
        return decode(VmView, operate(client, "POST", "/v1/vms", {"vm": asdict(request), "attached": True}, on_event))


def _request(  # noqa: PLR0913 - what a VM is made of
    name: str | None,
    image: str,
    sizes: tuple[int | None, str | None, str | None],
    workspace: str | Path | None,
    branch: str | None,
    ports: Sequence[str],
    *,
    nat: bool,
    ephemeral: bool,
) -> VmRequest:
    path = None if workspace is None else str(Path(workspace).expanduser().absolute())
    return VmRequest(
        sizes=resolve(*sizes),
        name=None if name is None else check_vm_name(name),
        image=image,
        workspace=None if path is None else WorkspaceRequest(path, branch=branch),
        ephemeral=ephemeral,
        wait_ssh=False,
        nat=nat,
        ports=[parse_forward(text) for text in ports],
    )
