"""Error against cost: networks as points, and the front of those that no other beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from dorsal.report.numerals import cost_title
from dorsal.report.plot import ERROR, GREY, NOTHING, Point, View, look, plane, powers, remark, short, shown
from dorsal.study.analysis.records import Front

# From this ratio of the dearest to the cheapest network on, costs are on a logarithmic scale.
WIDE = 12

POINTS = "One point a network; MACs, parameters and activations are for one image, times for a batch."

Costs = Mapping[str, Mapping[str, float]]
"""By quantity, by label of a network."""


def front_of(name: str, points: Sequence[Sequence[Point]]) -> Front:
    """The front of all points together; each has cost, error and label."""
    best: list[Point] = []
    for point in sorted(point for ours in points for point in ours):
        if not best or point[1] < best[-1][1]:
            best.append(point)
    costs, errors, labels = zip(*best, strict=True) if best else ((), (), ())
    return Front(cost=name, labels=labels, costs=costs, errors=errors)


def against(points: Sequence[Sequence[Point]], front: Front, time: str, *, joined: bool = True) -> View:
    """`points` has for each space cost, error and label of its networks; `time` says how a time is known.

    The front is `joined` unless it is that of other costs too.
    """
    name, title, unit = cost_title(front.cost, time)
    figure = plane(escape(title, quote=False), ERROR, 440)
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
    if min(there) > 0 and max(there) > WIDE * min(there):
        title = f"{escape(title, quote=False)} (log)"
        figure.update_layout(xaxis={"type": "log", "tickvals": powers(there, 7), "title": {"text": title}})
    return View(name, figure)


def scatter(figure: go.Figure, index: int, points: Sequence[Point], marker: Mapping[str, object], x: str) -> None:
    """Networks of the space at `index`; `x` is how their values are written."""
    figure.add_scatter(
        x=short(value for value, _, _ in points),
        y=short(error for _, error, _ in points),
        customdata=[shown(label) for _, _, label in points],
        mode="markers",
        marker={"color": look(index).colour, **marker},
        hovertemplate=f"%{{customdata}}<br>{x}: %{{y:.2f}} %<extra></extra>",
    )
