"""The pages that `--html` writes, in a real browser: they draw what they say, fit, can be read, and fetch nothing."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from banger.graph.render.plan_page import plan_page
from banger.graph.render.run_page import run_page
from banger.model.views import CacheState, PlanNodeView, PlanView
from tests.fakes import history

pytestmark = pytest.mark.nightly

CHECK = """
<script>
const wrong = [], say = text => wrong.push(text);
for (const svg of document.querySelectorAll("svg")) {
  const whole = svg.getBoundingClientRect();
  for (const group of svg.querySelectorAll("g.n")) {
    const box = group.querySelector("rect").getBoundingClientRect();
    if (box.left < whole.left || box.right > whole.right || box.top < whole.top || box.bottom > whole.bottom)
      say("outside: " + group.textContent);
    for (const text of group.querySelectorAll("text")) {
      const inner = text.getBoundingClientRect();
      if (inner.right > box.right + 0.5 || inner.bottom > box.bottom + 0.5) say("too long: " + text.textContent);
      const ratio = contrast(getComputedStyle(text).fill, getComputedStyle(group.querySelector("rect")).fill);
      if (ratio < 4.5) say("faint (" + ratio.toFixed(1) + "): " + text.textContent);
    }
  }
}
function light(colour) {
  const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(one => one / 255)
    .map(one => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}
function contrast(one, other) {
  const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}
const first = document.querySelector("g.n");
first.dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
if (document.getElementById("about").textContent !== first.querySelector("title").textContent) say("no hover");
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
document.body.dataset.result = (wrong.length ? wrong.join("; ") : "fine") + (dark ? ", dark" : ", light") + ", " +
  performance.getEntriesByType("resource").length + " fetched, " + document.querySelectorAll("g.n").length + " nodes";
</script>
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    assert found, "scripts/setup.sh --nightly installs it"
    return found


def _plan() -> PlanView:
    states: tuple[CacheState, ...] = ("hit", "miss", "unknown", "effect", "gate")
    nodes = [
        PlanNodeView(
            f"node.number_{n}",
            f"image.something_{n % 9}",
            "build",
            "a label that is much longer than its box /home/somebody/checkout",
            states[n % 5],
            "sha256:" + f"{n:064x}",
            120.0,
            119.0,
            n % 4 == 0,
            [f"node.number_{m}" for m in range(n) if (n * m) % 11 == 1 or m == n // 2],
            size_bytes=n << 22,
            starts_s=float(n),
        )
        for n in range(40)
    ]
    return PlanView(nodes, 100.0, 200.0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["plan", "run"])
def test_a_browser_draws_the_page_whole_and_legible(chromium: str, tmp_path: Path, page: str, scheme: str) -> None:
    text, nodes = (plan_page(_plan(), "plan"), 40) if page == "plan" else (run_page(history.views(), "run"), 15)
    place = tmp_path / "page.html"
    place.write_text(text.replace("</body>", CHECK + "</body>"))
    argv = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    if scheme == "dark":
        argv += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]
    done = subprocess.run(
        [*argv, "--dump-dom", place.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    (result,) = re.findall(r'data-result="([^"]*)"', done.stdout)
    assert result == f"fine, {scheme}, 0 fetched, {nodes} nodes"
