"""A page in a real browser: every view of every plot in turn, and what is there at the end."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
OFFLINE = ("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND")

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the path")

# Runs before everything else in the page, looks at every view in turn, and tells the page around it.
PROBE = """<script>
const wrong = [];
addEventListener("error", (event) => wrong.push(event.message));
addEventListener("unhandledrejection", (event) => wrong.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => wrong.push("fetch of " + event.blockedURI));
const TEXTS = ".xtick text:not([transform*='rotate(2']), .ytick text, [class*='title'] text, text[class*='title']";
const MARKS = ":is(.scatterlayer, .barlayer, .boxlayer) path";
const count = (selector) => document.querySelectorAll(selector).length;
const placed = (text) => ({ word: text.textContent, box: text.getBoundingClientRect() });
const apart = (a, b) => a.right <= b.left + 1 || a.bottom <= b.top + 1;
const meet = (a, b) => !apart(a.box, b.box) && !apart(b.box, a.box);
function outside(text) {
  const box = text.getBoundingClientRect(), frame = text.ownerSVGElement.getBoundingClientRect();
  return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
}
const seen = [], switched = [], unticked = [];
function look(plot, name) {
  const frame = plot.querySelector(".main-svg").getBoundingClientRect();
  const texts = [...plot.querySelectorAll(TEXTS)].map(placed);
  const overlaps = [];
  texts.forEach((one, i) => {
    for (const other of texts.slice(i + 1)) if (meet(one, other)) overlaps.push(one.word + " on " + other.word);
  });
  const within = (box) => box.left > frame.left - 1 && box.right < frame.right + 1 && box.bottom < frame.bottom + 1;
  seen.push({ name, overlaps, cut: texts.filter(({ box }) => !within(box)).map(({ word }) => word),
    marks: plot.querySelectorAll(MARKS).length,
    legend: [...plot.querySelectorAll(".legend li:not([hidden])")].map((item) => item.textContent),
    said: [...plot.querySelectorAll(".annotation-text")].map((text) => text.textContent),
    wide: frame.right > innerWidth && !plot.closest(".panels") });
}
async function tell() {
  for (const plot of document.querySelectorAll(".chart")) {
    const name = plot.querySelector(".canvas").getAttribute("aria-label").split(":")[0];
    const inputs = [...plot.querySelectorAll("fieldset input")];
    if (!inputs.length) look(plot, name);
    const drawn = [];
    for (const input of inputs) {
      input.click();
      await new Promise((done) => setTimeout(done, 200));
      look(plot, name + "/" + input.parentNode.textContent);
      drawn.push(plot.querySelector(".canvas").innerText + plot.querySelector(".main-svg").innerHTML);
    }
    for (const box of [...plot.querySelectorAll("li:not([hidden]) input")].slice(1)) {
      const traces = () => plot.querySelectorAll(".canvas .trace").length, before = traces();
      box.click();
      await new Promise((done) => setTimeout(done, 200));
      unticked.push(traces() < before);
      box.click();
      await new Promise((done) => setTimeout(done, 200));
    }
    if (drawn.length) switched.push(new Set(drawn).size > 1);
  }
  parent.postMessage(JSON.stringify({
    wrong, seen, switched, unticked, title: document.title, window: innerWidth,
    points: count(".scatterlayer .points path"), bars: count(".barlayer .points path"),
    errorbars: count(".errorbar path"), lines: count(".js-line"), bands: count(".js-fill"),
    drawings: count("svg.dorsal-net"),
    cut: [...document.querySelectorAll("svg.dorsal-net text")].filter(outside).map((text) => text.textContent),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  }), "*");
}
const timer = setInterval(() => {
  if (!document.documentElement.dataset.drawn) return;
  clearInterval(timer);
  tell();
}, 50);
</script>"""


def look_at(page: str, width: int, folder: Path) -> dict[str, Any]:
    """What the browser sees. The page is in a frame of `width` pixels: headless windows are not narrower than 500.

    `seen` has every view in turn; points, bars and lines are counted when each plot is at its last view. `unticked`
    says whether each box of a legend but the first took traces from that view.
    """
    (folder / "page.html").write_text(page.replace("<head>", f"<head>{PROBE}", 1))
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
    assert answer["window"] == width
    return answer


def assert_legible(answer: dict[str, Any], *, remarks: bool = False) -> None:
    """Nothing went wrong; nothing is wider than the window; each view has marks, or where allowed says why not.

    On a desk and a phone texts of a plot neither overlap nor leave it.
    """
    views = answer["seen"]
    assert (answer["wrong"], answer["overflow"], answer["cut"]) == ([], 0, [])
    assert [view["name"] for view in views if not (view["marks"] or (remarks and view["said"]))] == []
    assert [view["name"] for view in views if view["wide"]] == []
    assert {view["name"]: view["overlaps"] for view in views if view["overlaps"]} == {}
    assert {view["name"]: view["cut"] for view in views if view["cut"]} == {}
