"""What a client may send. Strict and closed: a wrong type or an unknown field is refused, and says which."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from banger.model.cache import PruneRequest
from banger.model.exec import ExecRequest, TerminalSize
from banger.model.images import Pull
from banger.model.limits import DISK_BYTES, MEMORY_MIB, VCPUS
from banger.model.verbs import VmChange
from banger.model.vm import (
    DEFAULT_IMAGE,
    LOOPBACK,
    VM_NAME,
    Forward,
    SetupRequest,
    Sizes,
    VmRequest,
    WorkspaceRequest,
)
from banger.model.workspace import PrepareRequest

Text = Annotated[str, Field(min_length=1, max_length=4096)]
Vcpus = Annotated[int, Field(ge=VCPUS[0], le=VCPUS[1])]
MemoryMib = Annotated[int, Field(ge=MEMORY_MIB[0], le=MEMORY_MIB[1])]
DiskBytes = Annotated[int, Field(ge=DISK_BYTES[0], le=DISK_BYTES[1])]
# pydantic's regular expressions have no \Z; their $ is the end of the text and nothing else.
VmName = Annotated[str, Field(pattern="^" + VM_NAME.pattern.replace(r"\Z", "$"))]


class Body(BaseModel):
    """The base of every request body."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SizesBody(Body):
    """The shape of a VM."""

    vcpus: Vcpus
    memory_mib: MemoryMib
    disk_bytes: DiskBytes


class WorkspaceBody(Body):
    """A git checkout on the host."""

    path: Annotated[str, Field(pattern="^/", max_length=4096)]
    include_untracked: bool = False
    branch: Text | None = None
    from_ref: Text | None = None
    full_copy: bool = False


Port = Annotated[int, Field(ge=1, le=65535)]


class ForwardBody(Body):
    """A port of this host that leads to one of a guest."""

    host_port: Port
    guest_port: Port
    host: Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$")] = LOOPBACK
    protocol: Literal["tcp", "udp"] = "tcp"

    def forward(self) -> Forward:
        """Turn it into what the service takes."""
        return Forward(**self.model_dump())


class ChangeBody(Body):
    """PATCH /v1/vms/{ref}: what is to be different."""

    name: VmName | None = None
    vcpus: Vcpus | None = None
    memory_mib: MemoryMib | None = None
    disk_bytes: DiskBytes | None = None
    nat: bool | None = None

    def change(self) -> VmChange:
        """Turn it into what the service takes."""
        return VmChange(**self.model_dump())


class SetupBody(Body):
    """A command that prepares the VM's disks once. "": none, whatever the repository says."""

    command: Annotated[str, Field(max_length=4096)]
    locks: Annotated[list[Text], Field(max_length=100)] = []

    def request(self) -> SetupRequest:
        """Turn it into what the service takes."""
        return SetupRequest(self.command, tuple(self.locks))


class VmBody(Body):
    """The VM that is asked for."""

    sizes: SizesBody
    name: VmName | None = None
    image: Text = DEFAULT_IMAGE
    workspace: WorkspaceBody | None = None
    ephemeral: bool = False
    wait_ssh: bool = True
    cold: bool = False
    kernel: Text | None = None
    refresh: bool = False
    rebuild: Annotated[list[Text], Field(max_length=64)] = []
    nat: bool = True
    ports: Annotated[list[ForwardBody], Field(max_length=64)] = []
    pull: Pull = "missing"
    setup: SetupBody | None = None
    forked_from: None = None
    pooled: Literal[False] = False
    """What a VM is by how it was made, no client says."""

    def request(self) -> VmRequest:
        """Turn it into what the service takes."""
        workspace = WorkspaceRequest(**self.workspace.model_dump()) if self.workspace else None
        sizes = Sizes(**self.sizes.model_dump())
        setup = self.setup.request() if self.setup else None
        return VmRequest(
            sizes,
            self.name,
            self.image,
            workspace,
            self.ephemeral,
            self.wait_ssh,
            self.cold,
            kernel=self.kernel,
            nat=self.nat,
            ports=[port.forward() for port in self.ports],
            refresh=self.refresh,
            rebuild=tuple(self.rebuild),
            pull=self.pull,
            setup=setup,
        )


class PrepareBody(Body):
    """POST /v1/vms/{ref}/workspace/prepare. Without `workspace`: what was asked for the last time."""

    workspace: WorkspaceBody | None = None
    replace: bool = False

    def request(self) -> PrepareRequest:
        """Turn it into what the service takes."""
        workspace = WorkspaceRequest(**self.workspace.model_dump()) if self.workspace else None
        return PrepareRequest(workspace, self.replace)


class WorkspaceExportBody(Body):
    """POST /v1/vms/{ref}/workspace/export. `path`: in the user's repository, if it is elsewhere now."""

    path: Annotated[str, Field(pattern="^/", max_length=4096)] | None = None


class BranchBody(Body):
    """POST /v1/vms/{ref}/workspace/exports/{export}/branch. Without `name`: a free one."""

    name: Text | None = None


class CreateBody(Body):
    """POST /v1/vms. `attached`: cancel the operation when nobody follows it any more."""

    vm: VmBody
    attached: bool = False


class TerminalBody(Body):
    """The size of a terminal."""

    rows: Annotated[int, Field(ge=0, le=65535)]
    columns: Annotated[int, Field(ge=0, le=65535)]


Bytes = Annotated[str, Field(max_length=65536, pattern="^[\u0001-\u00ff]*$")]
"""Bytes but NUL, each as the character of its number: a file's name need not be UTF-8, and JSON must be."""


class ExecBody(Body):
    """The first message of POST /v1/vms/{ref}/exec: banger.model.exec."""

    argv: Annotated[list[Bytes], Field(min_length=1, max_length=16384)]
    env: dict[Bytes, Bytes] = {}
    cwd: Annotated[Bytes, Field(min_length=1)] | None = None
    terminal: TerminalBody | None = None

    def request(self) -> ExecRequest:
        """Turn it into what the service takes."""
        terminal = TerminalSize(self.terminal.rows, self.terminal.columns) if self.terminal else None
        env = {_text(name): _text(value) for name, value in self.env.items()}
        cwd = None if self.cwd is None else _text(self.cwd)
        return ExecRequest(tuple(_text(word) for word in self.argv), env, cwd, terminal)


def _text(word: str) -> str:
    return word.encode("latin-1").decode("utf-8", "surrogateescape")


class TemplateBody(Body):
    """POST /v1/templates. The disk's size is of no account."""

    sizes: SizesBody
    image: Text = DEFAULT_IMAGE


class PruneBody(Body):
    """POST /v1/cache/prune: what is to go. With nothing said: what is long unused or over the budget."""

    older_than_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    max_bytes: Annotated[int, Field(ge=0, le=1 << 62)] | None = None
    everything: bool = False
    dry_run: bool = False

    def request(self) -> PruneRequest:
        """Turn it into what the service takes."""
        return PruneRequest(**self.model_dump())


class VerifyBody(Body):
    """POST /v1/cache/verify. `repair`: put right what can be."""

    repair: bool = False


class PinBody(Body):
    """PUT /v1/cache/{prefix}/pin. `note`: why, for whoever wonders later."""

    note: Annotated[str, Field(max_length=200)] = ""


class ShutdownBody(Body):
    """POST /v1/shutdown. `if_idle`: only if no operation and no session is under way."""

    if_idle: bool = False


class ErrorBody(BaseModel):
    """What every failed request answers."""

    code: str
    message: str
    hint: str | None
    exit_status: int
