"""A service with no engine: VMs are entries in a dict, and names steer what happens to them.

`slow-…` takes a minute to create, `fail-…` fails at a node, `bug-…` raises what it should not, `deaf-…` has no SSH.
Commands are run by the agent of a guest, behind $FAKE_AGENT_SOCKET, or here by the one that $FAKE_AGENT names.
The VMs are written to `vms.json` in the state directory, so that they outlive the daemon, as real ones do.
"""

import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import anyio

from banger.daemon.service import Emit
from banger.engine.bench_view import bench_view
from banger.guest.channel import AgentChannel
from banger.guest.exec_session import ExecSession
from banger.model.cache import (
    CacheEntryView,
    CacheFilter,
    CacheUsageView,
    EvictionView,
    KindUsageView,
    ProblemView,
    PruneRequest,
    PruneView,
    VerifyView,
)
from banger.model.errors import ActionError, ConflictError, NotFoundError
from banger.model.exec import ExecRequest
from banger.model.history import BenchView, RunRow, RunView, WhyView
from banger.model.views import CacheState, CheckView, PlanNodeView, PlanView, PoolView, TemplateView
from banger.model.vm import Forward, Sizes, SshEndpoint, VmRequest, VmView
from banger.model.workspace import (
    BranchView,
    CommitView,
    ExportView,
    FileChangeView,
    PreparedView,
    PrepareRequest,
)
from tests.fakes import history
from tests.fakes.agent import LISTENING, make_root, spawn_agent
from tests.fakes.image_service import FakeImages
from tests.fakes.kernels import FakeKernels
from tests.fakes.verbs import ADDRESS, FakeVerbs

DIGEST = "sha256:" + "ab" * 32


class FakeService(FakeVerbs, FakeKernels):
    """Keeps the Service protocol; writes what it was asked to `calls.jsonl`."""

    def __init__(self, state_dir: Path) -> None:
        self._dir = state_dir
        self._file = state_dir / "vms.json"
        self._vms: dict[str, VmView] = {}
        self._forwards: dict[str, list[Forward]] = {}
        self.images = FakeImages(self._note)
        self._agent: AgentChannel | None = None
        self._agent_process: subprocess.Popen[bytes] | None = None
        if self._file.exists():
            self._vms = {raw["id"]: _vm(raw) for raw in json.loads(self._file.read_text())}

    async def create_vm(self, request: VmRequest, emit: Emit) -> VmView:
        self._note("create_vm", asdict(request))
        name = request.name or f"vm-{len(self._vms) + 1}"
        if any(vm.name == name for vm in self._vms.values()):
            raise ConflictError(f"VM {name!r} exists already", hint=f"banger vm show {name}")
        await self._run_nodes(name, emit)
        vm_id = f"{len(self._vms) + 1:08x}"
        console = self._dir / f"{name}.log"
        console.write_text("".join(f"line {number}\n" for number in range(1, 21)) + "\x1b[31mred\x1b[0m\n")
        view = VmView(
            id=vm_id,
            name=name,
            state="running",
            image=request.image,
            sizes=request.sizes,
            created_at=1_700_000_000.0,
            ssh=self._ssh(name),
            workspace=request.workspace.path if request.workspace else None,
            console_log=str(console),
            address=ADDRESS,
            nat=request.nat,
            ports=request.ports,
        )
        self._put(view)
        return view

    async def start_vm(self, ref: str, emit: Emit) -> VmView:
        self._note("start_vm", ref)
        return self._put(replace(self._get(ref), state="running"))

    async def stop_vm(self, ref: str, emit: Emit) -> VmView:
        self._note("stop_vm", ref)
        return self._put(replace(self._get(ref), state="stopped"))

    async def delete_vm(self, ref: str, emit: Emit, *, if_stopped: bool = False) -> None:
        self._note("delete_vm", ref)
        vm = self._get(ref)
        if if_stopped and vm.state == "running":
            raise ConflictError(f"VM {vm.name!r} runs")
        if vm.name.startswith("sticky"):
            await anyio.sleep(60)
        del self._vms[vm.id]
        self._save()

    async def fork_vm(self, ref: str, count: int, name: str | None, emit: Emit) -> list[VmView]:
        self._note("fork_vm", [ref, count, name])
        parent = self._get(ref)
        views = []
        for number in range(1, count + 1):
            forked = name if name and count == 1 else f"{name or parent.name + '-fork'}-{number}"
            vm_id = f"{len(self._vms) + 1:08x}"
            views.append(self._put(replace(parent, id=vm_id, name=forked, forked_from=parent.name)))
        return views

    async def list_pools(self) -> list[PoolView]:
        return []

    async def keep_pool(self, image: str, sizes: Sizes, count: int) -> list[PoolView]:
        self._note("keep_pool", [image, asdict(sizes), count])
        return [PoolView(image, sizes, count, 0)]

    async def list_vms(self) -> list[VmView]:
        return list(self._vms.values())

    async def show_vm(self, ref: str) -> VmView:
        return self._get(ref)

    async def exec_vm(self, ref: str, request: ExecRequest) -> ExecSession:
        vm = self._get(ref)
        if vm.state != "running":
            raise ConflictError(f"VM {vm.name!r} is {vm.state}", hint=f"banger vm start {vm.name}")
        if self._agent is None and "FAKE_AGENT_SOCKET" in os.environ:
            self._agent = await AgentChannel.connect(Path(os.environ["FAKE_AGENT_SOCKET"]), deadline_s=10)
        if self._agent is None:
            root = self._dir / "agent"
            make_root(root)
            port, self._agent_process = spawn_agent(Path(os.environ["FAKE_AGENT"]), root, LISTENING)
            self._agent = await AgentChannel.from_socket(port, deadline_s=10)
        return await self._agent.exec(request)

    async def prepare_workspace(self, ref: str, request: PrepareRequest, emit: Emit) -> PreparedView:
        vm = self._get(ref)
        self._note("prepare_workspace", [vm.name, asdict(request)])
        if vm.name.startswith("clash"):
            raise ConflictError("both here and in the VM changed: README; nothing was touched")
        path = request.workspace.path if request.workspace else "/checkout"
        return PreparedView(path, "main", 7, "changes", 1, 2)

    async def export_workspace(self, ref: str, path: str | None) -> ExportView:
        vm = self._get(ref)
        self._note("export_workspace", [vm.name, path])
        nothing = ExportView("0" * 16, vm.name, "/checkout", "b" * 40, None, "main", False, True)
        if vm.name.startswith("idle"):
            return nothing
        patch = self._dir / "changes.patch"
        patch.write_text("diff --git a/README b/README\n-one\n+two \x1b[31mred\n")
        return replace(
            nothing,
            tip="c" * 40,
            uncommitted=True,
            commits=[CommitView("c" * 40, "Guest\x1b[1m", "done \x1b]0;title\x07there")],
            files=[FileChangeView("M", "README", 1, 1), FileChangeView("A", "binary", None, None)],
            patch=str(patch),
            others=["aside"],
        )

    async def make_workspace_branch(self, ref: str, export: str, name: str | None) -> BranchView:
        self._note("make_workspace_branch", [ref, export, name])
        if name == "taken":
            raise ConflictError("there is a branch taken already", hint="choose another --branch")
        return BranchView("/checkout", name or f"banger/{self._get(ref).name}", "c" * 40)

    async def aclose(self) -> None:
        if self._agent is not None:
            await self._agent.aclose()
        if self._agent_process is not None:
            self._agent_process.kill()
            self._agent_process.communicate()

    async def plan_create(self, request: VmRequest) -> PlanView:
        self._note("plan_create", asdict(request))
        return PlanView(
            [
                PlanNodeView("image", "image.rootfs", "build", request.image, *self._image(request)),
                PlanNodeView("disk", "disk.work", "effect", "", "effect", None, 0.01, 0.01, False, ["image"]),
                PlanNodeView("boot", "vm.boot", "effect", "", "effect", None, None, 5.0, True, ["image", "disk"]),
                PlanNodeView("ready", "vm.ready", "gate", "SSH", "gate", None, 1.0, 1.0, True, ["boot"]),
            ],
            predicted_s=6.0,
            serial_s=6.01,
        )

    def _image(self, request: VmRequest) -> tuple[CacheState, str, float, float, bool, list[str], str | None]:
        """An image called `new` is to be made."""
        new = request.image == "new"
        return "miss" if new else "hit", DIGEST, 41.0, 41.0 if new else 0.0, new, [], "params" if new else None

    async def bench(self) -> BenchView:
        return bench_view([history.run_view(2), history.run_view(1)])

    async def list_runs(self, limit: int, what: str | None) -> list[RunRow]:
        return [view.run for view in history.views() if what in {None, view.run.what}][:limit]

    async def show_run(self, ref: str) -> RunView:
        return history.find(ref)

    async def why(self, node: str, run: str | None, against: str | None) -> WhyView:
        self._note("why", [node, run, against])
        return history.why(node, run, against)

    async def cache_list(self, wanted: CacheFilter) -> list[CacheEntryView]:
        self._note("cache_list", asdict(wanted))
        entry = CacheEntryView(DIGEST, "image.rootfs", 200 << 20, "debian", 1_700_000_000.0, 1_700_000_100.0)
        owned = replace(entry, disk_bytes=90 << 20, seconds=41.0, owners=["pin"] if self._pins() else [])
        return [owned] if wanted.kind in {None, entry.kind} else []

    async def cache_show(self, prefix: str) -> CacheEntryView:
        for entry in await self.cache_list(CacheFilter()):
            if entry.digest.startswith(prefix) or entry.digest.removeprefix("sha256:").startswith(prefix):
                return entry
        raise NotFoundError(f"no artifact begins with {prefix!r}", hint="banger cache ls")

    async def cache_usage(self) -> CacheUsageView:
        kinds = [KindUsageView("image.rootfs", 1, 200 << 20, 90 << 20, 0 if self._pins() else 90 << 20)]
        return CacheUsageView(kinds, 90 << 20, kinds[0].reclaimable_bytes, 1, 4096, 5 << 30)

    async def cache_pin(self, prefix: str, note: str) -> CacheEntryView:
        self._note("cache_pin", [prefix, note])
        await self.cache_show(prefix)
        self._pin_file.touch()
        return await self.cache_show(prefix)

    async def cache_unpin(self, prefix: str) -> CacheEntryView | None:
        if not self._pins():
            raise NotFoundError(f"no pin begins with {prefix!r}", hint="banger cache ls --owner pin")
        self._pin_file.unlink()
        return await self.cache_show(prefix)

    async def cache_verify(self, emit: Emit, *, repair: bool) -> VerifyView:
        self._note("cache_verify", repair)
        found = os.environ.get("FAKE_DAMAGE")
        problems = [ProblemView("damaged", DIGEST, "its 3 bytes hash to something else", repair)] if found else []
        return VerifyView(3, 9 << 20, 2, 0.5, problems)

    async def cache_prune(self, request: PruneRequest, emit: Emit) -> PruneView:
        self._note("cache_prune", asdict(request))
        gone = EvictionView("image.rootfs", "debian", 2, 3 << 20, 1_700_000_100.0, 41.0)
        return PruneView(2, 3 << 20, request.dry_run, 7 << 20, 5 << 20, 41.0, [gone])

    @property
    def _pin_file(self) -> Path:
        return self._dir / "pinned"

    def _pins(self) -> bool:
        return self._pin_file.exists()

    async def list_templates(self) -> list[TemplateView]:
        return [TemplateView(DIGEST, "debian", 2, 1024, 90 << 20, 1_700_000_000.0, 1_700_000_100.0, current=True)]

    async def build_template(self, image: str, sizes: Sizes, emit: Emit) -> TemplateView:
        self._note("build_template", [image, asdict(sizes)])
        return (await self.list_templates())[0]

    async def remove_template(self, prefix: str) -> TemplateView:
        self._note("remove_template", prefix)
        return (await self.list_templates())[0]

    async def probe(self, emit: Emit) -> list[CheckView]:
        return [CheckView("probe: boot", "ok", "Linux 6.1.0, ready after 3.0 s")]

    async def doctor(self) -> list[CheckView]:
        status = "fail" if os.environ.get("FAKE_DOCTOR") == "fail" else "ok"
        return [
            CheckView("qemu", "ok", "7.2.22"),
            CheckView("kvm", "warn", "not usable: VMs run emulated, which is slower"),
            CheckView("space", "fail" if status == "fail" else "ok", "3 GiB free", "banger cache prune"),
        ]

    async def _run_nodes(self, name: str, emit: Emit) -> None:
        nodes = ["image.rootfs", "vm.boot"]
        emit({
            "event": "plan",
            "at": anyio.current_time(),
            "nodes": [
                {"id": node, "kind": node, "flavour": "build", "label": "", "expected_s": None} for node in nodes
            ],
        })  # fmt: skip
        emit({"event": "node", "at": anyio.current_time(), "id": "image.rootfs", "state": "hit"})
        emit({"event": "node", "at": anyio.current_time(), "id": "vm.boot", "state": "running"})
        try:
            if name.startswith("slow"):
                await anyio.sleep(60)
        except anyio.get_cancelled_exc_class():
            self._note("undone", name)
            raise
        if name.startswith("fail"):
            emit({"event": "node", "at": anyio.current_time(), "id": "vm.boot", "state": "failed", "seconds": 0.1})
            raise ExceptionGroup("run", [ActionError("vm.boot: no such kernel", hint="banger doctor")])
        if name.startswith("bug"):
            raise KeyError("secret internals")
        emit({"event": "node", "at": anyio.current_time(), "id": "vm.boot", "state": "done", "seconds": 2.5})
        emit({
            "event": "summary",
            "at": anyio.current_time(),
            "run_id": history.run_view(2).run.id,
            "cached": 1,
            "ran": 1,
            "seconds": 2.5,
        })  # fmt: skip

    def _ssh(self, name: str) -> SshEndpoint:
        port = 1 if name.startswith("deaf") else int(os.environ.get("FAKE_SSH_PORT", "1"))
        return SshEndpoint("127.0.0.1", port, "root", "/state/ssh/id_ed25519", "/state/ssh/known_hosts", f"vm-{name}")

    def _get(self, ref: str) -> VmView:
        for vm in self._vms.values():
            if ref in {vm.id, vm.name}:
                return vm
        raise NotFoundError(f"VM {ref!r}: there is none such", hint="banger vm list")

    def _put(self, view: VmView) -> VmView:
        self._vms[view.id] = view
        self._save()
        return view

    def _save(self) -> None:
        written = self._file.with_suffix(".new")  # whoever reads it sees all of it
        written.write_text(json.dumps([asdict(vm) for vm in self._vms.values()]))
        written.rename(self._file)

    def _note(self, call: str, argument: object) -> None:
        with (self._dir / "calls.jsonl").open("a") as calls:
            calls.write(json.dumps([call, argument]) + "\n")


def _vm(raw: dict[str, object]) -> VmView:
    fields = dict(raw)
    fields["sizes"] = Sizes(**fields["sizes"])  # type: ignore[arg-type]
    fields["ports"] = [Forward(**one) for one in fields["ports"]]  # type: ignore[attr-defined]
    fields["ssh"] = SshEndpoint(**fields["ssh"])  # type: ignore[arg-type]
    return VmView(**fields)  # type: ignore[arg-type]


@asynccontextmanager
async def open_fake_service(state_dir: Path) -> AsyncIterator[FakeService]:
    """What `banger.engine.service.open_service` is to the real daemon."""
    service = FakeService(state_dir)
    try:
        yield service
    finally:
        await service.aclose()
