"""Small tasks with which the engine itself is tested: files stand for what a host holds."""

import sys
from pathlib import Path
from types import ModuleType

import anyio
import anyio.lowlevel
import msgspec

from banger.model.action import Needs, Scope
from banger.model.errors import HostError, TransientError
from banger.tasks import Build, Context, Effect, File, Gate, Query, Ref

LOG: list[str] = []
"""What ran, in order."""


class Text(msgspec.Struct, frozen=True):
    file: File
    length: int


class ToyAsk(Query[str], frozen=True, kw_only=True):
    kind = "toy.ask"
    version = 1
    ttl_s = 60
    name: str

    async def ask(self, ctx: Context) -> str:
        LOG.append(f"ask {self.name}")
        return (ctx.state.root / f"world-{self.name}").read_text()


class ToyBuild(Build[Text], frozen=True, kw_only=True):
    kind = "toy.build"
    version = 1
    retries = 2
    needs = Needs(pools=(("cpu", 1),))
    name: str
    source: Ref[str] | None = None
    parent: Ref[Text] | None = None
    fail: str = ""
    seconds_ms: int = 0
    slow_to_stop_ms: int = 0

    async def build(self, ctx: Context) -> Text:
        LOG.append(f"build {self.name}")
        try:
            await anyio.sleep(self.seconds_ms / 1000)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(self.slow_to_stop_ms / 1000)
            raise
        if self.fail == "transient" and LOG.count(f"build {self.name}") < 3:
            raise TransientError(f"{self.name}: not now")
        if self.fail == "always":
            raise HostError(f"{self.name}: no")
        text = ctx.value(self.source) if self.source else self.name
        if self.parent:
            text += ctx.path(ctx.value(self.parent).file).read_text()
        place = ctx.scratch / "out"
        place.write_text(text)
        return Text(ctx.keep(place), len(text))


class ToyEffect(Effect[str], frozen=True, kw_only=True):
    kind = "toy.effect"
    version = 1
    scope = Scope.VM
    name: str
    content: Ref[Text] | None = None
    below: Ref[str] | None = None
    fail: bool = False
    stuck: bool = False
    needs_mib: int = 0

    def claims(self) -> Needs:
        return Needs(pools=(("memory_mib", self.needs_mib),)) if self.needs_mib else self.needs

    def _path(self, ctx: Context) -> Path:
        return ctx.state.root / f"host-{self.name}"

    async def probe(self, ctx: Context, value: str) -> bool:
        return self._path(ctx).exists() and value == self.name

    async def apply(self, ctx: Context) -> str:
        LOG.append(f"apply {self.name}")
        if self.below:
            assert (ctx.state.root / f"host-{ctx.value(self.below)}").exists(), "applied without its ground"
        self._path(ctx).write_text("half")
        await anyio.lowlevel.checkpoint()
        if self.fail:
            raise HostError(f"{self.name}: broke halfway")
        text = ctx.path(ctx.value(self.content).file).read_text() if self.content else ""
        self._path(ctx).write_text(text)
        return self.name

    async def undo(self, ctx: Context, value: str | None) -> None:
        LOG.append(f"undo {self.name}")
        if self.stuck:
            raise HostError(f"{self.name}: will not go")
        if self.below:
            assert (ctx.state.root / f"host-{ctx.value(self.below)}").exists(), "undone after its ground"
        self._path(ctx).unlink(missing_ok=True)


class ToySession(ToyEffect, frozen=True, kw_only=True):
    kind = "toy.session"
    scope = Scope.SESSION


class ToyGate(Gate[int], frozen=True, kw_only=True):
    kind = "toy.gate"
    version = 1
    deadline_s = 1
    opens: bool = True

    async def wait(self, ctx: Context) -> int:
        LOG.append("wait")
        if not self.opens:
            await anyio.sleep_forever()
        return 1


for _kind in (ToyAsk, ToyBuild, ToyEffect, ToySession, ToyGate):
    _module = ModuleType(f"banger.tasks.{_kind.kind.replace('.', '_')}")
    _module.__dict__["task"] = _kind
    sys.modules[_module.__name__] = _module
