"""Past runs as an engine would tell them: run 1 was cold, run 2 is a warm one whose wait for a pool is on the path."""

from dataclasses import replace

from banger.model.errors import NotFoundError
from banger.model.history import (
    ChangeView,
    ClaimView,
    Mode,
    PoolView,
    RunNodeView,
    RunRow,
    RunView,
    SpanView,
    WhyStepView,
    WhyView,
)

DIGEST = "sha256:" + "cd" * 32


def node(name: str, flavour: str, times: tuple[float, float, float, float, float], **more: object) -> RunNodeView:
    """A node that ran, with its five points in time."""
    fields: dict[str, object] = {"cache": "miss" if flavour in {"build", "query"} else "none", "digest": DIGEST, **more}
    return RunNodeView(name, name, flavour, "", str(fields.pop("cache")), "done", 1, *times, **fields)  # type: ignore[arg-type]


def run_view(number: int) -> RunView:
    """Run 1 or run 2."""
    mode: Mode = "cold" if number == 1 else "warm"
    hit = number != 1
    made = (0.0, 0.0, 0.0, 0.0, 0.0) if hit else (0.0, 0.0, 0.1, 3.9, 4.0)
    begin = 0.0 if hit else 4.0
    nodes = [
        node(
            "image.rootfs",
            "build",
            made,
            cache="hit" if hit else "miss",
            claims=[ClaimView("cpu", 1)],
            size_bytes=200 << 20,
        ),
        node("disk.work", "effect", (0.0, 0.0, 0.0, 0.5, 0.5), claims=[ClaimView("disk", 1)]),
        node(
            "disk.rootfs",
            "effect",
            (begin, begin + 0.5, begin + 0.5, begin + 0.75, begin + 0.75),
            claims=[ClaimView("disk", 1)],
            bound_by="disk.work" if hit else "image.rootfs",
            depends_on=["image.rootfs"],
        ),
        node(
            "vm.boot",
            "effect",
            (begin + 0.75, begin + 0.75, begin + 0.75, begin + 1.0, begin + 1.0),
            claims=[ClaimView("vmm", 1)],
            bound_by="disk.rootfs",
            depends_on=["disk.rootfs", "disk.work"],
        ),
        node(
            "guest.agent",
            "gate",
            (begin + 1.0, begin + 1.0, begin + 1.0, begin + 2.0, begin + 2.0),
            bound_by="vm.boot",
            depends_on=["vm.boot"],
        ),
    ]
    row = RunRow(str(number) * 32, "vm.create", 1_700_000_000.0 + number, mode, begin + 2.0, "succeeded", None)
    row = replace(row, cached=int(hit), ran=len(nodes) - hit)
    spans = [
        SpanView("vm.boot", "vmm and firmware", begin + 0.75, begin + 1.25),
        SpanView("guest.agent", "kernel, to init", begin + 1.25, begin + 1.75),
        SpanView("guest.agent", "agent", begin + 1.75, begin + 2.0),
    ]
    return RunView(row, nodes, spans, [PoolView("cpu", 2), PoolView("disk", 1), PoolView("vmm", 4)])


def views() -> list[RunView]:
    """All runs, the newest first."""
    return [run_view(2), run_view(1)]


def find(ref: str) -> RunView:
    """One run."""
    for view in views():
        if ref == "last" or view.run.id.startswith(ref):
            return view
    raise NotFoundError(f"there is no run {ref!r}", hint="banger runs ls")


def why(name: str, run: str | None, against: str | None) -> WhyView:
    """Why the root image was made: a package has another version."""
    if name != "image.rootfs":
        raise NotFoundError(f"no recent run has a node {name!r}", hint="banger runs show last")
    steps = [
        WhyStepView(name, name, "debian", "input:tar", [ChangeView("inputs.tar", DIGEST, "sha256:" + "ef" * 32)]),
        WhyStepView(
            "image.resolve",
            "image.resolve",
            "debian",
            "ttl",
            [ChangeView("value.lock.packages[libc6].version", "2.36-9", "2.36-10"), ChangeView("value.new", None, "1")],
            leaf=True,
        ),
    ]
    later, earlier = find(run or "last").run, find(against or "1").run
    return WhyView(name, later, earlier, "miss", "done", "input:tar", steps, [name, "disk.rootfs"], ["image.work_seed"])
