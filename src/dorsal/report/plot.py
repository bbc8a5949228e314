"""What the plots of all pages share: looks, an empty plane in their style, bands and ticks.

Colours of text and grid are left to the page: it may be light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite, nan
from typing import Any, NamedTuple

import plotly.graph_objects as go

from dorsal.stats import Estimate

# Okabe and Ito's palette without yellow and black, which vanish on one of the two backgrounds.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ("solid", "dash", "dot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
LONGEST_LABEL = 26

ERROR = "error, %"
NOTHING = "no network has finished"
GREY = "#7F7F7F"
# The page colours the grid of the first axes only; this one is faint on a light and on a dark page.
GRID = "rgba(127,127,127,0.25)"

Trace = dict[str, Any]
Point = tuple[Any, float, str]
"""A value of a network, number or text, with its error in percent and its label."""


class Look(NamedTuple):
    """How an arm or a space appears everywhere: a colour; beyond the palette also a dashed line and an open marker."""

    colour: str
    dash: str
    open: bool


class View(NamedTuple):
    """A figure and its name on the switch between the figures of one place."""

    name: str
    figure: go.Figure


def look(index: int) -> Look:
    """The look of the arm or space at `index`."""
    turn, colour = divmod(index, len(PALETTE))
    return Look(PALETTE[colour], DASHES[turn % len(DASHES)], turn > 0)


def shown(label: str) -> str:
    """A label in a plot: long ones lose their middle, and Plotly, which reads text as a subset of HTML, gets text."""
    half = LONGEST_LABEL // 2
    short = label if len(label) <= LONGEST_LABEL else f"{label[:half]}…{label[1 - half :]}"
    return escape(short, quote=False)


def plane(x: str, y: str, height: int = 400) -> go.Figure:
    """An empty figure with these titles; it cannot be dragged, so that a finger on it scrolls the page."""
    return go.Figure(
        layout={
            "template": None,
            "height": height,
            "margin": {"l": 52, "r": 16, "t": 12, "b": 52},
            "showlegend": False,
            "dragmode": False,
            "hovermode": "closest",
            "xaxis": {"title": {"text": x}, "zeroline": False, "automargin": True},
            "yaxis": {"title": {"text": y}, "zeroline": False, "automargin": True},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
        }
    )


def remark(figure: go.Figure, text: str) -> None:
    """Makes of a figure one line that says why it is empty. `text` is markup of Plotly."""
    figure.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    figure.update_layout(height=90, xaxis={"visible": False}, yaxis={"visible": False})


def pale(index: int, alpha: float) -> str:
    """The colour of the space at `index`, so much of it."""
    colour = look(index).colour
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def line(index: int, shape: str = "linear") -> dict[str, object]:
    """The line of the arm or space at `index`."""
    return {"color": look(index).colour, "dash": look(index).dash, "width": 2, "shape": shape}


def band(index: int, edges: Sequence[tuple[float, float, float]], shape: str = "linear") -> list[Trace]:
    """Fills between two lines in the colour of the space at `index`; `edges` are x, low and high."""
    return [
        {
            "type": "scatter",
            "x": short(edge[0] for edge in edges),
            "y": short(edge[end] for edge in edges),
            "mode": "lines",
            "legendgroup": str(index),
            "line": {"width": 0, "shape": shape},
            "fill": fill,
            "fillcolor": pale(index, 0.16),
            "hoverinfo": "skip",
        }
        for end, fill in ((1, "none"), (2, "tonexty"))
    ]


def whiskers(means: Iterable[tuple[float, Estimate]]) -> tuple[list[float | None], list[float | None]]:
    """Place and ends of each interval that there is, as the pieces of one line."""
    pieces = [(place, end) for place, mean in means if (ends := interval(mean)) for end in (*ends, nan)]
    return short(place for place, _ in pieces), short(end for _, end in pieces)


def interval(estimate: Estimate) -> tuple[float, float] | None:
    """Its ends, where it has an interval."""
    return None if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)


def short(values: Iterable[float]) -> list[float | None]:
    """Numbers to five digits, which is finer than a screen and half the size; None where there is none to draw."""
    return [float(f"{value:.5g}") if isfinite(value) else None for value in values]


def powers(values: Sequence[float], max_ticks: int) -> list[float]:
    """At most `max_ticks` ticks of a logarithmic axis over these values, which are above 0: 1, 2, 5, 10, … at best."""
    low, high = min(values) / 1.3, max(values) * 1.3
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step for power in range(-12, 19) for digit in digits if low <= (step := digit * 10.0**power) <= high]
        if len(ticks) <= max_ticks:
            return ticks
    return ticks[:: -(-len(ticks) // max_ticks)]
