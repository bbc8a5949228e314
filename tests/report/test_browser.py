"""The page in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dorsal.report.comparison.page import page

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.report.conftest import Case

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
OFFLINE = ("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the path")

# Runs before everything else in the page; tells the page around it what went wrong, and at the end what is there.
PROBE = """<script>
const wrong = [];
addEventListener("error", (event) => wrong.push(event.message));
addEventListener("unhandledrejection", (event) => wrong.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => wrong.push("fetch of " + event.blockedURI));
const count = (selector) => document.querySelectorAll(selector).length;
function outside(text) {
  const box = text.getBoundingClientRect(), frame = text.ownerSVGElement.getBoundingClientRect();
  return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
}
async function tell() {
  const plots = [...document.querySelectorAll(".chart")];
  const switched = [];
  for (const plot of plots) {
    const last = [...plot.querySelectorAll("input")].pop();
    if (!last) continue;
    const before = plot.querySelector(".canvas").innerText + plot.querySelector(".main-svg").innerHTML;
    last.click();
    await new Promise((done) => setTimeout(done, 300));
    switched.push(before !== plot.querySelector(".canvas").innerText + plot.querySelector(".main-svg").innerHTML);
  }
  parent.postMessage(JSON.stringify({
    wrong, switched,
    title: document.title,
    plots: plots.length,
    drawn: plots.filter((plot) => plot.querySelector(":is(.scatterlayer, .barlayer) path")).length,
    points: count(".scatterlayer .points path"),
    bars: count(".barlayer .points path"),
    errorbars: count(".errorbar path"),
    lines: count(".js-line"),
    bands: count(".js-fill"),
    drawings: count("svg.dorsal-net"),
    cut: [...document.querySelectorAll("svg.dorsal-net text")].filter(outside).map((text) => text.textContent),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    window: innerWidth,
    wide: plots.filter((plot) => plot.querySelector(".main-svg").getBoundingClientRect().right > innerWidth).length,
  }), "*");
}
const timer = setInterval(() => {
  if (!document.documentElement.dataset.drawn) return;
  clearInterval(timer);
  tell();
}, 50);
</script>"""


def look_at(case: Case, width: int, folder: Path) -> dict[str, Any]:
    """What the browser sees. The page is in a frame of `width` pixels: headless windows are not narrower than 500."""
    inner = page(case.study, case.analysis).replace("<head>", f"<head>{PROBE}", 1)
    (folder / "page.html").write_text(inner)
    (folder / "frame.html").write_text(
        f'<iframe src="page.html" width="{width}" height="900" style="border:0"></iframe><pre></pre><script>'
        'addEventListener("message", (event) => document.querySelector("pre").textContent = event.data)</script>'
    )
    command = [str(BROWSER), *QUIET, *OFFLINE, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000"]
    command += ["--window-size=1400,1000", "--dump-dom", (folder / "frame.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    seen = re.search(r"<pre>(.+)</pre>", done.stdout)
    assert seen is not None, f"the page told nothing; the browser said: {done.stderr[-2000:]}"
    answer: dict[str, Any] = json.loads(html.unescape(seen[1]))
    return answer


@pytest.mark.parametrize("width", [390, 1280])
def test_every_plot_is_drawn_and_nothing_is_wider_than_the_window(whole: Case, tmp_path: Path, width: int) -> None:
    seen = look_at(whole, width, tmp_path)
    assert seen["wrong"] == []
    assert (seen["plots"], seen["drawn"]) == (4, 4)
    assert seen["switched"] == [True, True, True]
    # Seen after the switches: 4 arms x 2 recipes of train-step times, and 6 pairs.
    assert seen["points"] == 4 * 2 + 6
    assert (seen["lines"], seen["bands"], seen["bars"]) == (4, 4, 5)
    # vertical and horizontal ones of 8 points, of 5 shares, of 6 pairs
    assert seen["errorbars"] == 2 * 8 + 5 + 6
    assert (seen["drawings"], seen["cut"]) == (4, [])
    assert seen["window"] == width
    assert seen["overflow"] == 0
    assert seen["wide"] == 0


@pytest.mark.parametrize("name", ["markup", "twelve_arms", "nothing_run"])
def test_the_worst_cases_hold_on_a_phone(case: Callable[[str], Case], name: str, tmp_path: Path) -> None:
    seen = look_at(case(name), 390, tmp_path)
    assert seen["wrong"] == []
    assert seen["title"] == case(name).study.name
    assert seen["plots"] == seen["drawn"] + (2 if name == "nothing_run" else 0)
    assert seen["cut"] == []
    assert seen["overflow"] == 0
    assert seen["wide"] == 0
