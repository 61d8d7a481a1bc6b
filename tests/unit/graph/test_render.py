"""Pictures of plans and runs: whether what they show is what is there, and nothing from outside."""

import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from banger.graph.render.chrome import TraceEvent, chrome_trace
from banger.graph.render.collapse import collapse
from banger.graph.render.layout import BOX_HEIGHT, BOX_WIDTH, lay_out
from banger.graph.render.plan_page import plan_page
from banger.graph.render.run_page import run_page
from banger.graph.render.text import dot, mermaid
from banger.model.history import RunView, SpanView
from banger.model.views import CacheState, PlanNodeView, PlanView
from tests.fakes import history

NASTY = 'a"b\\c<script>alert(1)</script>&\u202e[x]'


def _plan(*, label: str = "") -> PlanView:
    nodes = [
        PlanNodeView(
            "fetch", "kernel.fetch", "build", label, "hit", "sha256:" + "0" * 64, 2.0, 0.0, size_bytes=1 << 20
        ),
        PlanNodeView("image", "image.rootfs", "build", "", "miss", None, 9.0, 9.0, True, [], "version", 0.0),
        PlanNodeView(
            "boot", "vm.boot", "effect", "", "effect", None, 4.0, 4.0, True, ["fetch", "image"], "effect", 9.0
        ),
    ]
    return PlanView(nodes, 13.0, 13.0)


def _wide(count: int) -> PlanView:
    states: tuple[CacheState, ...] = ("hit", "miss")
    nodes = [PlanNodeView(f"f{n}", "toy.fetch", "build", f"{n}", states[n % 2]) for n in range(count)]
    return PlanView(
        [*nodes, PlanNodeView("join", "toy.join", "build", "", "unknown", depends_on=[n.id for n in nodes])]
    )


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str, name: str) -> list[dict[str, str | None]]:
        return [attrs for found, attrs in self.tags if found == tag and name in (attrs.get("class") or "").split()]


def _nasty_plan() -> PlanView:
    return PlanView([PlanNodeView(NASTY, NASTY, "build", NASTY, "miss", NASTY, pools=[NASTY])])


def _nasty_run() -> RunView:
    view = history.run_view(1)
    nodes = [replace(node, id=NASTY, kind=NASTY, label=NASTY, bound_by=NASTY, digest=NASTY) for node in view.nodes]
    return replace(view, run=replace(view.run, what=NASTY), nodes=nodes, spans=[SpanView(NASTY, NASTY, 0.0, 1.0)])


@pytest.mark.parametrize("text", [plan_page(_nasty_plan(), NASTY), run_page([_nasty_run()], NASTY)])
def test_a_page_is_whole_in_itself_and_runs_nothing_that_a_name_says(text: str) -> None:
    page = Page(text)
    for tag, attrs in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
        assert not {"src", "href", "srcset", "action", "xlink:href"} & attrs.keys()
        assert not any(name.startswith("on") for name in attrs)
    assert "url(" not in text
    assert "@import" not in text
    addresses = re.findall("[a-z]+://[^\"' )]*", text)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert any("default-src 'none'" in (attrs.get("content") or "") for tag, attrs in page.tags if tag == "meta")
    assert any(NASTY in shown for shown in page.texts)


def test_a_plan_page_colours_every_node_and_marks_the_critical_path() -> None:
    page = Page(plan_page(_plan(), "plan"))
    assert [len(page.of("rect", state)) for state in ("hit", "miss", "effect", "gate")] == [1, 1, 1, 0]
    assert len(page.of("g", "critical")) == 2
    assert len(page.of("path", "edge")) == 2
    assert len(page.of("path", "critical")) == 1
    titles = "\n".join(page.texts)
    for told in ("sha256:" + "0" * 64, "last 2.00 s", "1.0 MiB", "version: the code of this kind changed"):
        assert told in titles


def test_a_run_page_has_a_bar_for_everything_that_ran() -> None:
    page = Page(run_page([history.run_view(2)], "run"))
    assert len(page.of("g", "n")) == 4 + 3  # nodes, and stages of the guest's boot
    assert len(page.of("g", "critical")) == 4


def test_boxes_never_overlap_and_edges_go_from_left_to_right() -> None:
    graph = {f"n{n}": [f"n{m}" for m in range(n) if (n * m) % 7 == 1 or m == n // 3] for n in range(40)}
    layout = lay_out(graph)
    for (x, y), (u, v) in itertools.combinations(layout.boxes.values(), 2):
        assert abs(x - u) >= BOX_WIDTH or abs(y - v) >= BOX_HEIGHT
    for points in layout.edges.values():
        across = [x for x, _ in points]
        assert across == sorted(across)
    assert set(layout.edges) == {(one, name) for name, before in graph.items() for one in before}
    assert lay_out(graph) == layout
    assert all(
        0 <= x <= layout.width and 0 <= y <= layout.height for points in layout.edges.values() for x, y in points
    )


def test_a_graph_above_200_nodes_is_drawn_by_kind_and_a_smaller_one_whole() -> None:
    assert collapse(_wide(199)) == _wide(199)
    small = collapse(_wide(300))
    assert [(node.id, node.label, node.cache) for node in small.nodes] == [
        ("toy.fetch (0)", "x 300", "miss"),
        ("join", "", "unknown"),
    ]
    assert small.nodes[1].depends_on == ["toy.fetch (0)"]
    assert mermaid(_wide(300)).count("-->") == 1


def test_mermaid_and_dot_name_every_node_and_edge() -> None:
    chart = mermaid(_plan())
    assert chart.startswith("flowchart LR\n")
    assert re.findall(r"(n\d) --> (n\d)", chart) == [("n0", "n2"), ("n1", "n2")]
    assert ":::miss_critical" in chart
    drawn = dot(_plan())
    assert re.findall(r'"(\w+)" -> "(\w+)"( \[penwidth=3\])?;', drawn) == [
        ("fetch", "boot", ""),
        ("image", "boot", " [penwidth=3]"),
    ]


def test_a_label_cannot_leave_its_quotes() -> None:
    assert "<script>" not in mermaid(_plan(label=NASTY))
    assert '"]' not in re.sub(r'"\]:::', "", mermaid(_plan(label=NASTY)))
    quoted = re.sub(r"\\.", "", dot(_plan(label=NASTY)))
    assert all(line.count('"') % 2 == 0 for line in quoted.splitlines())


def test_a_chrome_trace_is_well_formed() -> None:
    """By the Trace Event Format: slices of a thread nest, arrows come in pairs, and each end lies on a slice."""
    for view in history.views():
        trace = json.loads(json.dumps(chrome_trace(view)))
        events: list[TraceEvent] = trace["traceEvents"]
        slices = [event for event in events if event["ph"] == "X"]
        named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
        assert all((event["pid"], event["tid"]) in named and event["dur"] >= 0 for event in slices)
        for one, other in itertools.combinations(slices, 2):
            if (one["pid"], one["tid"]) == (other["pid"], other["tid"]):
                assert _nested_or_apart(one, other), (one, other)
        starts = {event["id"]: event for event in events if event["ph"] == "s"}
        ends = {event["id"]: event for event in events if event["ph"] == "f"}
        assert starts.keys() == ends.keys()
        assert starts
        for event in (*starts.values(), *ends.values()):
            assert any(_covers(one, event) for one in slices), event
        assert all(starts[number]["ts"] <= ends[number]["ts"] for number in starts)


def test_a_chrome_trace_counts_pools_and_never_more_than_there_is() -> None:
    view = history.run_view(2)
    events = chrome_trace(view)["traceEvents"]
    used = [(event["name"], event["args"]["in use"]) for event in events if event["ph"] == "C"]
    assert [count for name, count in used if name == "pool disk (of 1)"] == [1, 0, 1, 0]
    assert not [name for name, _ in used if "cpu" in name]  # its node was a hit


def test_the_guests_boot_is_in_the_trace_beside_the_host() -> None:
    events = chrome_trace(history.run_view(2))["traceEvents"]
    boot = [event["name"] for event in events if event["ph"] == "X" and event["pid"] == 2]
    assert boot == ["vmm and firmware", "kernel, to init", "agent"]


def _nested_or_apart(one: TraceEvent, other: TraceEvent) -> bool:
    (a, b), (c, d) = ((event["ts"], event["ts"] + event["dur"]) for event in (one, other))
    return bool(b <= c or d <= a or (a <= c and d <= b) or (c <= a and b <= d))


def _covers(one: TraceEvent, at: TraceEvent) -> bool:
    same = (one["pid"], one["tid"]) == (at["pid"], at["tid"])
    return same and bool(one["ts"] <= at["ts"] <= one["ts"] + one["dur"])
