"""The page of a population in a real browser, at the width of a desk and of a phone; every view of every plot."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dorsal.report.population.page import population_page
from tests.report.population_cases import EVIL, Case, case
from tests.report.test_browser import BROWSER, OFFLINE, QUIET

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the path")

# Runs before everything else in the page, looks at every view in turn, and tells the page around it.
PROBE = """<script>
const wrong = [];
addEventListener("error", (event) => wrong.push(event.message));
addEventListener("unhandledrejection", (event) => wrong.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => wrong.push("fetch of " + event.blockedURI));
const TEXTS = ".xtick text:not([transform*='rotate(2']), .ytick text, [class*='title'] text, text[class*='title']";
const placed = (text) => ({ word: text.textContent, box: text.getBoundingClientRect() });
const apart = (a, b) => a.right <= b.left + 1 || a.bottom <= b.top + 1;
const meet = (a, b) => !apart(a.box, b.box) && !apart(b.box, a.box);
function outside(text) {
  const box = text.getBoundingClientRect(), frame = text.ownerSVGElement.getBoundingClientRect();
  return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
}
const seen = [];
function look(plot, name) {
  const svg = plot.querySelector(".main-svg"), frame = svg.getBoundingClientRect();
  const texts = [...plot.querySelectorAll(TEXTS)].map(placed);
  const overlaps = [];
  texts.forEach((one, i) => {
    for (const other of texts.slice(i + 1)) if (meet(one, other)) overlaps.push(one.word + " on " + other.word);
  });
  const within = (box) => box.left > frame.left - 1 && box.right < frame.right + 1 && box.bottom < frame.bottom + 1;
  const cut = texts.filter(({ box }) => !within(box)).map(({ word }) => word);
  seen.push({ name, texts: texts.length, overlaps, cut,
    marks: plot.querySelectorAll(":is(.scatterlayer, .barlayer) path").length,
    said: [...plot.querySelectorAll(".annotation-text")].map((text) => text.textContent),
    wide: frame.right > innerWidth && !plot.closest(".panels") });
}
async function tell() {
  for (const plot of document.querySelectorAll(".chart")) {
    const name = plot.querySelector(".canvas").getAttribute("aria-label").split(":")[0];
    const inputs = [...plot.querySelectorAll("input")];
    if (!inputs.length) look(plot, name);
    for (const input of inputs) {
      input.click();
      await new Promise((done) => setTimeout(done, 200));
      look(plot, name + "/" + input.parentNode.textContent);
    }
  }
  parent.postMessage(JSON.stringify({
    wrong, seen, title: document.title, window: innerWidth,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    cut: [...document.querySelectorAll("svg.dorsal-net text")].filter(outside).map((text) => text.textContent),
  }), "*");
}
const timer = setInterval(() => {
  if (!document.documentElement.dataset.drawn) return;
  clearInterval(timer);
  tell();
}, 50);
</script>"""


def look_at(made: Case, width: int, folder: Path) -> dict[str, Any]:
    """What the browser sees. The page is in a frame of `width` pixels: headless windows are not narrower than 500."""
    (folder / "page.html").write_text(population_page(*made).replace("<head>", f"<head>{PROBE}", 1))
    (folder / "frame.html").write_text(
        f'<iframe src="page.html" width="{width}" height="900" style="border:0"></iframe><pre></pre><script>'
        'addEventListener("message", (event) => document.querySelector("pre").textContent = event.data)</script>'
    )
    command = [str(BROWSER), *QUIET, *OFFLINE, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=40000"]
    command += ["--window-size=1400,1000", "--dump-dom", (folder / "frame.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    told = re.search(r"<pre>(.+)</pre>", done.stdout)
    assert told is not None, f"the page told nothing; the browser said: {done.stderr[-2000:]}"
    answer: dict[str, Any] = json.loads(html.unescape(told[1]))
    return answer


@pytest.mark.parametrize("width", [390, 1280])
def test_every_view_is_drawn_and_legible(width: int, tmp_path: Path) -> None:
    seen = look_at(case("whole"), width, tmp_path)
    assert seen["wrong"] == []
    assert seen["window"] == width
    assert (seen["overflow"], seen["cut"]) == (0, [])
    names = [view["name"].partition("/")[0] for view in seen["seen"]]
    assert list(dict.fromkeys(names)) == [
        "Distribution of errors",
        "Random search",
        "Error against each axis",
        "Importance of axes",
        "Error against cost",
        "Linear rule",
        "Latency",
    ]
    assert [view["name"] for view in seen["seen"] if not view["marks"]] == []
    assert [view["name"] for view in seen["seen"] if view["wide"]] == []
    assert {view["name"]: view["overlaps"] for view in seen["seen"] if view["overlaps"]} == {}
    assert {view["name"]: view["cut"] for view in seen["seen"] if view["cut"]} == {}


@pytest.mark.parametrize("name", ["markup", "nothing_finished"])
def test_the_worst_cases_hold_on_a_phone(name: str, tmp_path: Path) -> None:
    seen = look_at(case(name), 390, tmp_path)
    assert seen["wrong"] == []
    assert seen["title"] == (EVIL if name == "markup" else "population")
    assert (seen["overflow"], seen["cut"]) == (0, [])
    assert [view["name"] for view in seen["seen"] if view["wide"]] == []
    assert all(view["marks"] or view["said"] for view in seen["seen"])
