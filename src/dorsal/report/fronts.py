"""Error against cost: networks as points, and the front of those that no other beats in both."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from dorsal.findings.fronts import Front
from dorsal.report.plot import ERROR, GREY, NOTHING, Point, View, look, plane, powers, remark, short, shown
from dorsal.report.words.numerals import cost_title

# From this ratio of the largest to the smallest value on, an axis is logarithmic.
WIDE = 12
PHONE = 36
"""Letters of a title that fit on a phone."""

POINTS = "One point a network; MACs, parameters and activations are for one image, times for a batch."


def against(points: Sequence[Sequence[Point]], front: Front, time: str, *, joined: bool = True) -> View:
    """`points` has for each space cost, error and label of its networks; `time` says how a time is known.

    The front is `joined` unless it is that of other costs too.
    """
    name, title, unit = cost_title(front.cost, time)
    figure = plane("", ERROR, 440)
    there = [cost / unit for ours in points for cost, _, _ in ours]
    if not there:
        remark(figure, NOTHING)
        return View(name, figure)
    for index, ours in enumerate(points):
        marker = {"size": 6, "opacity": 0.65, "symbol": "circle-open" if look(index).open else "circle"}
        scatter(figure, index, [(cost / unit, error, label) for cost, error, label in ours], marker, "%{x:.4g}")
    figure.add_scatter(
        x=short(cost / unit for cost in front.costs),
        y=short(front.errors),
        customdata=[shown(label) for label in front.labels],
        mode="lines+markers" if joined else "markers",
        line={"color": GREY, "width": 1.5, "shape": "hv"},
        marker={"symbol": "circle-open", "size": 11, "color": GREY, "line": {"width": 2}},
        hovertemplate="front: %{customdata}<br>%{x:.4g}: %{y:.2f} %<extra></extra>",
    )
    return View(name, figure.update_layout(xaxis=axis(title, there, 7)))


def axis(title: str, values: Sequence[float], ticks: int) -> dict[str, Any]:
    """An axis over these values, logarithmic with at most so many ticks where they are far apart."""
    wide = 0 < WIDE * min(values) < max(values)
    lines = textwrap.wrap(f"{title} (log)" if wide else title, PHONE)
    scale = {"type": "log", "tickvals": powers(values, ticks)} if wide else {}
    return {"title": {"text": "<br>".join(escape(line, quote=False) for line in lines)}, **scale}


def scatter(figure: go.Figure, index: int, points: Sequence[Point], marker: Mapping[str, object], x: str) -> None:
    """Networks of the space at `index`; `x` is how their values are written."""
    figure.add_scatter(
        x=short(value for value, _, _ in points),
        y=short(error for _, error, _ in points),
        customdata=[shown(label) for _, _, label in points],
        mode="markers",
        legendgroup=str(index),
        marker={"color": look(index).colour, **marker},
        hovertemplate=f"%{{customdata}}<br>{x}: %{{y:.2f}} %<extra></extra>",
    )
