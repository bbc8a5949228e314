"""A sheet of SVG, 360 units wide, drawn from top to bottom: the strokes that `drawing` composes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from html import escape
from typing import Literal

WIDTH = 360
LINE = 12

Kind = Literal["conv", "point", "gate", "plain"]

# Each drawing carries its style, so that it is complete outside of the page too.
STYLE = """
.dorsal-net{font:10px system-ui,sans-serif;--ink:#1f2933;--soft:#5b6773;--edge:#7b8894;
--conv:#cfe3f5;--point:#e9edf1;--gate:#fbe0b8}
@media (prefers-color-scheme:dark){.dorsal-net{--ink:#e6eaee;--soft:#a3aeb8;--edge:#8896a3;
--conv:#1f4e79;--point:#343d46;--gate:#7a4d05}}
.dorsal-net text{fill:var(--ink)}.dorsal-net .faint{fill:var(--soft)}.dorsal-net .title{font-weight:600;font-size:11px}
.dorsal-net rect{stroke:var(--edge);stroke-width:.8}.dorsal-net .conv{fill:var(--conv)}
.dorsal-net .point{fill:var(--point)}.dorsal-net .gate{fill:var(--gate)}.dorsal-net .plain{fill:none}
.dorsal-net path{fill:none;stroke:var(--edge);stroke-width:1.2}.dorsal-net .dot{fill:var(--edge)}
.dorsal-net .node{fill:none;stroke:var(--ink)}.dorsal-net .sign{stroke:var(--ink)}
"""


class Sketch:
    """Collects strokes. `y` is the lower edge of what is drawn so far; the composers move it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.y = 0.0

    def box(self, left: float, top: float, width: float, height: float, kind: Kind, *lines: str) -> None:
        """A rectangle with centred lines of text."""
        self.parts.append(
            f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="2.5"/>'
        )
        first = top + height / 2 - (len(lines) - 1) * LINE / 2 + 3.5
        for index, line in enumerate(lines):
            self.text(left + width / 2, first + index * LINE, line)

    def text(
        self, x: float, y: float, text: str, look: str = "", *, anchor: str = "middle", turn: bool = False
    ) -> None:
        """One line of text, or upright along a line with `turn`."""
        turned = f' transform="rotate(90 {x:g} {y:g})"' if turn else ""
        self.parts.append(
            f'<text class="{look}" x="{x:g}" y="{y:g}" text-anchor="{anchor}"{turned}>{escape(text)}</text>'
        )

    def paragraph(self, text: str, look: str = "faint") -> None:
        """Wrapped text over the whole width, below what is drawn so far."""
        for line in textwrap.wrap(text, 64):
            self.y += LINE + 1
            self.text(8, self.y, line, look, anchor="start")

    def line(self, *points: tuple[float, float]) -> None:
        """A polyline."""
        self.parts.append(f'<path d="M{" L".join(f"{x:g} {y:g}" for x, y in points)}"/>')

    def dot(self, x: float, y: float) -> None:
        """Where a line forks."""
        self.parts.append(f'<circle class="dot" cx="{x:g}" cy="{y:g}" r="2"/>')

    def node(self, x: float, y: float, sign: Literal["+", "×"]) -> None:
        """A circle in which values are summed or multiplied."""
        arms = ((0, 3.2), (3.2, 0)) if sign == "+" else ((2.3, 2.3), (2.3, -2.3))
        strokes = " ".join(f"M{x - dx:g} {y - dy:g} L{x + dx:g} {y + dy:g}" for dx, dy in arms)
        self.parts.append(f'<circle class="node" cx="{x:g}" cy="{y:g}" r="5"/><path class="sign" d="{strokes}"/>')

    def svg(self, description: str) -> str:
        """The finished drawing; `description` is its text for readers who do not see it."""
        return (
            f'<svg class="dorsal-net" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.y + 8:g}" '
            f'role="img" aria-label="{escape(description)}"><style>{STYLE}</style>{"".join(self.parts)}</svg>'
        )


def centres(left: float, width: float, count: int) -> list[float]:
    """The middles of `count` equal columns."""
    return [left + width * (index + 0.5) / count for index in range(count)]


def ranges(numbers: Iterable[int]) -> str:
    """Increasing numbers in words: 1, 2, 3, 5 → "1–3, 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
