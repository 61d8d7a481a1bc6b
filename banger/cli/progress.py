"""Show a running operation on stderr: live lines on a terminal, plain lines elsewhere, nothing when asked for quiet."""

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from banger.cli.doing import DOING
from banger.cli.harmless import sanitised, unfiltered
from banger.cli.output import seconds, size
from banger.model.progress import Event, NodeEvent, PlannedNode, ProgressEvent

if TYPE_CHECKING:
    from rich.console import Group
    from rich.spinner import Spinner

WORTH_A_LINE_S = 1.0
"""Nodes that take less are not worth a line of their own."""


class Progress(Protocol):
    """Shows events; used as a context, so that the terminal is left as it was found."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: Event) -> None:
        """Show one event."""

    def say(self, text: str) -> None:
        """Show one line of our own."""


def progress(*, quiet: bool) -> Progress:
    """Choose how to show progress: the terminal decides, NO_COLOR and TERM=dumb are respected."""
    if quiet:
        return QuietProgress()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return LiveProgress()
    return PlainProgress(sys.stderr)


class QuietProgress:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, event: Event) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""


class PlainProgress(QuietProgress):
    """One line for what matters: nodes that take long, trouble, notices, the summary."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._nodes: dict[str, PlannedNode] = {}

    def show(self, event: Event) -> None:
        """Print what is worth a line."""
        match event["event"]:
            case "plan":
                self._nodes = {node["id"]: node for node in event["nodes"]}
            case "node":
                line = node_line(event, self._nodes)
                if line:
                    self.say(line)
            case "notice":
                self.say(event["text"])
            case "summary":
                self.say(f"{event['cached']} cached, {event['ran']} ran, {event['seconds']:.1f} s")
            case _:
                pass

    def say(self, text: str) -> None:
        """Print one line."""
        print(sanitised(text), file=self._stream, flush=True)


def node_line(event: NodeEvent, nodes: dict[str, PlannedNode]) -> str | None:
    """The line that a change of state is worth, if any."""
    node = nodes.get(event["id"])
    name = title(node) if node else event["id"]
    expected = node["expected_s"] if node else None
    took = event.get("seconds", 0.0)
    match event["state"]:
        case "running" if expected is not None and expected >= WORTH_A_LINE_S:
            return f"{name} … (about {seconds(expected)})"
        case "done" if took >= WORTH_A_LINE_S:
            return f"{name}: {seconds(took)}"
        case "retrying" | "failed" | "waiting":
            detail = event.get("detail")
            return f"{name}: {event['state']}" + (f": {detail}" if detail else "")
        case _:
            return None


def title(node: PlannedNode) -> str:
    """Name a node for people: what is being done, to what, and the kind by which `banger why` and `plan` know it."""
    doing = DOING.get(node["kind"])
    label = "" if node["label"] in {node["id"], node["kind"]} else node["label"]
    if doing is None:
        return f"{node['kind']} {label}".rstrip()
    return f"{doing}{f' ({label})' if label else ''}"


class LiveProgress(QuietProgress):
    """A line for each running node, with its elapsed time and its bytes, redrawn eight times a second."""

    def __init__(self) -> None:
        # rich takes as long to import as everything else together: only here, where it is seen.
        from rich.console import Console
        from rich.live import Live

        self._nodes: dict[str, PlannedNode] = {}
        self._running: dict[str, float] = {}
        self._spinners: dict[str, Spinner] = {}
        self._amounts: dict[str, ProgressEvent] = {}
        self._console = Console(file=unfiltered(sys.stderr), highlight=False)
        self._live = Live(console=self._console, get_renderable=self._lines, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Take one event into the picture."""
        match event["event"]:
            case "plan":
                self._nodes = {node["id"]: node for node in event["nodes"]}
            case "node":
                self._move(event)
            case "progress":
                self._amounts[event["id"]] = event
            case "notice":
                self.say(event["text"])
            case "summary":
                self.say(f"{event['cached']} cached, {event['ran']} ran, {event['seconds']:.1f} s")
            case _:
                pass

    def say(self, text: str) -> None:
        """Print a line that stays, above the live ones."""
        self._console.print(sanitised(text), markup=False)

    def _move(self, event: NodeEvent) -> None:
        if event["state"] in {"running", "retrying", "waiting"}:
            self._running.setdefault(event["id"], self._console.get_time())
        else:
            self._running.pop(event["id"], None)
            self._amounts.pop(event["id"], None)
        line = node_line(event, self._nodes)
        if line and event["state"] != "running":
            self.say(line)

    def _lines(self) -> "Group":
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.text import Text

        now = self._console.get_time()
        for node_id, begun in self._running.items():
            spinner = self._spinners.setdefault(node_id, Spinner("dots"))
            spinner.update(text=Text(sanitised(self._line(node_id, now - begun))))
        return Group(*(self._spinners[node_id] for node_id in self._running))

    def _line(self, node_id: str, elapsed_s: float) -> str:
        node = self._nodes.get(node_id)
        line = f"{title(node) if node else node_id}  {elapsed_s:.1f} s"
        if node and node["expected_s"]:
            line += f" of about {seconds(node['expected_s'])}"
        amount = self._amounts.get(node_id)
        return f"{line}  {amount_text(amount)}" if amount else line


def amount_text(event: ProgressEvent) -> str:
    """Write how far a node is: 12.0 MiB of 40.0 MiB."""
    write = size if event["unit"] == "bytes" else str
    total = f" of {write(event['total'])}" if event["total"] is not None else ""
    text = event.get("text")
    return f"{write(event['done'])}{total}{f' {text}' if text else ''}"
