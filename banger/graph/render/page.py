"""One page with nothing outside it: no script, style, font or picture from anywhere else, and no request to anybody.

It follows the reader's choice of light or dark. Whatever it shows of a plan or run is escaped.
"""

from collections.abc import Sequence
from html import escape

_STYLE = """
:root {
  color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --faint: #4a525c; --line: #8a94a0; --hit: #cfe8d5;
  --miss: #f6d5b8; --unknown: #f3e6b3; --effect: #cfdff5; --gate: #e3d8f0; --none: #e6e9ec; --critical: #c2410c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e8eaed; --faint: #b4bdc7; --line: #6c7783; --hit: #1f4a2c; --miss: #6b3a12;
    --unknown: #574a12; --effect: #1f3d66; --gate: #45305f; --none: #33393f; --critical: #fb923c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1rem 1.5rem; background: var(--paper); color: var(--ink); }
body { font: 15px/1.4 system-ui, sans-serif; }
h1 { font-size: 1.15rem; margin: 0 0 .3rem; }
h2 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .2rem 0; color: var(--faint); }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: 0; margin: .6rem 0; }
ul.legend span { display: inline-block; width: 1em; height: 1em; margin-right: .4em; vertical-align: -.12em; }
ul.legend span { border: 1px solid var(--line); border-radius: 3px; }
ul.legend span.critical { border: 3px solid var(--critical); background: none; }
.picture { overflow: auto; border: 1px solid var(--line); border-radius: 6px; }
svg { display: block; }
svg text { fill: var(--ink); font: 11px ui-monospace, monospace; }
svg text.faint { fill: var(--faint); }
rect.node { stroke: var(--line); }
path.edge { fill: none; stroke: var(--line); stroke-width: 1.2; }
line.grid { stroke: var(--line); stroke-width: .5; opacity: .5; }
.critical > rect.node { stroke: var(--critical); stroke-width: 3; }
path.critical { stroke: var(--critical); stroke-width: 2.6; }
g.n { outline: none; cursor: default; }
g.n:hover > rect.node, g.n:focus > rect.node { stroke: var(--ink); stroke-width: 3; }
#about { position: sticky; bottom: 0; min-height: 6.6em; margin-top: .6rem; padding: .5rem .8rem; }
#about { background: var(--paper); border: 1px solid var(--line); border-radius: 6px; white-space: pre-wrap; }
#about { font: 13px/1.4 ui-monospace, monospace; }
.hit { fill: var(--hit); background: var(--hit); }
.miss { fill: var(--miss); background: var(--miss); }
.unknown, .span { fill: var(--unknown); background: var(--unknown); }
.effect { fill: var(--effect); background: var(--effect); }
.gate { fill: var(--gate); background: var(--gate); }
.none { fill: var(--none); background: var(--none); }
"""
_SCRIPT = """
const about = document.getElementById("about"), empty = about.textContent;
const show = event => {
  const node = event.target.closest("g.n");
  about.textContent = node ? node.querySelector("title").textContent : empty;
};
for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, show);
"""
CHAR_PX = 6.7
"""Width of a character in a picture: its letters are all of one width, so that what fits is known here."""
PADDING_PX = 8
_HINT = "Point at a node, or go to it with Tab, to see its key, time and size."
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(title: str, summary: Sequence[str], legend: Sequence[tuple[str, str]], body: str) -> str:
    """The whole document. `legend`: class and meaning of each colour. `body` is markup already."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in summary)
    items = "".join(f'<li><span class="{name}"></span>{escape(meaning)}</li>' for name, meaning in legend)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n{lines}\n<ul class="legend">{items}</ul>\n{body}\n'
        f'<div id="about" aria-live="polite">{_HINT}</div>\n'
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def node_box(  # noqa: PLR0913 - a box is made of these
    x: float, y: float, width: float, height: float, *, kind: str, about: str, lines: Sequence[str], critical: bool
) -> str:
    """A box with lines of text in it and a text that is shown when it is pointed at."""
    texts = "".join(
        f'<text x="{x + PADDING_PX:.1f}" y="{y + 18 + 17 * place:.1f}"{_faint(place)}>{escape(line)}</text>'
        for place, line in enumerate(lines)
    )
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return (
        f'<g class="n{" critical" if critical else ""}" tabindex="0"><title>{escape(about)}</title>'
        f'<rect class="node {kind}" {place} rx="4"/>{texts}</g>'
    )


def picture(width: float, height: float, parts: Sequence[str], label: str) -> str:
    """An inline SVG in its own scroller."""
    return (
        f'<div class="picture"><svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg></div>'
    )


def fit(text: str, width: float) -> str:
    """Shorten a text in the middle, so that it fits a box and both ends of a path can be told."""
    most = int((width - 2 * PADDING_PX) / CHAR_PX)
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[-half:]}"


def _faint(place: int) -> str:
    return ' class="faint"' if place else ""
