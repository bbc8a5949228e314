"""The plots of a population's page as Plotly figures, but for those of axes. A space has one look in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from dorsal.report.figures import View, look, shown
from dorsal.report.population_plot import (
    ERROR,
    GREY,
    NOTHING,
    Point,
    band,
    finished,
    interval,
    plane,
    powers,
    remark,
    short,
)
from dorsal.study.analysis.records import Analysis, Distribution, Front, Importance

MOST_BARS = 20
# From this ratio of the dearest to the cheapest network on, costs are on a logarithmic scale.
WIDE = 12

_COSTS = {
    "macs": ("MACs", "MACs, millions", 1e6),
    "params": ("parameters", "parameters, millions", 1e6),
    "activations": ("activations", "activations, millions", 1e6),
}

Costs = Mapping[str, Mapping[str, float]]
"""By quantity, by label of a network."""


def distribution_views(analysis: Analysis) -> list[View]:
    """The distributions of errors: with either band, and with levels of each complexity counting alike."""
    with_errors = [(index, space.summary) for index, space in enumerate(analysis.spaces) if space.summary]
    alike = [(index, summary.distribution) for index, summary in with_errors]
    views = [
        View("band of the whole curve", _distributions(analysis, alike, pointwise=False)),
        View("band at each error", _distributions(analysis, alike, pointwise=True)),
    ]
    for name in dict.fromkeys(name for _, summary in with_errors for name in summary.by_complexity):
        weighted = [(i, summary.by_complexity[name]) for i, summary in with_errors if name in summary.by_complexity]
        views.append(View(f"{cost_title(name)[0]} counting alike", _distributions(analysis, weighted, pointwise=False)))
    return views


def _distributions(analysis: Analysis, found: Sequence[tuple[int, Distribution]], *, pointwise: bool) -> go.Figure:
    figure = plane(ERROR, "share of networks with at most this error", 440)
    if not found:
        remark(figure, NOTHING)
        return figure
    values = [value for _, distribution in found for value in distribution.edf.values]
    margin = 0.04 * (max(values) - min(values)) or 1.0
    for index, distribution in found:
        around = distribution.pointwise if pointwise else distribution.simultaneous
        low, high = (0.0, *around.low, around.low[-1]), (around.high_below, *around.high, around.high[-1])
        x = _beyond(around.values, margin)
        figure.add_traces(band(index, list(zip(x, low, high, strict=True)), "hv"))
    for index, distribution in found:
        figure.add_scatter(
            x=short(_beyond(distribution.edf.values, margin)),
            y=short((0.0, *distribution.edf.share, 1.0)),
            mode="lines",
            line=_line(index, "hv"),
            hovertemplate=f"{shown(analysis.spaces[index].name)}<br>%{{y:.3f}} of the networks have "
            "at most %{x:.2f} %<extra></extra>",
        )
    return figure.update_layout(yaxis={"range": [-0.02, 1.02]})


def _beyond(values: Sequence[float], margin: float) -> tuple[float, ...]:
    """The values, and a little to their left and right, where bands go on: further they would cover each other."""
    return values[0] - margin, *values, values[-1] + margin


def _line(index: int, shape: str = "linear") -> dict[str, object]:
    return {"color": look(index).colour, "dash": look(index).dash, "width": 2, "shape": shape}


def search_views(analysis: Analysis) -> list[View]:
    """The error of the best of k networks: what to expect, and how searches differ."""
    return [
        View("expected", _search(analysis, luck=False)),
        View("the luck of searches", _search(analysis, luck=True)),
    ]


def _search(analysis: Analysis, *, luck: bool) -> go.Figure:
    figure = plane("networks tried, k (log)", "error of the best of k, %")
    most = 1
    for index, space in enumerate(analysis.spaces):
        if space.summary is None or space.summary.search is None:
            continue
        points = space.summary.search.points
        most = max(most, points[-1].k)
        expected = [(point.k, *ends) for point in points if (ends := interval(point.expected))]
        figure.add_traces(
            band(index, [(point.k, point.lucky, point.unlucky) for point in points] if luck else expected)
        )
        figure.add_scatter(
            x=[point.k for point in points],
            y=short(point.median if luck else point.expected.value for point in points),
            mode="lines",
            line=_line(index),
            hovertemplate=f"{shown(space.name)}<br>best of %{{x}}: %{{y:.2f}} %<extra></extra>",
        )
    if not figure.data:
        remark(figure, "no space has two networks that finished")
        return figure
    return figure.update_layout(xaxis={"type": "log", "tickvals": powers((1, most), 10)})


def front_views(analysis: Analysis, times: Costs) -> list[View]:
    """Error against each cost, with the front of networks that no other beats in both; also against measured times."""
    views = []
    for front in analysis.fronts:
        points = [finished(space, space.costs[front.cost]) for space in analysis.spaces]
        views.append(View(cost_title(front.cost)[0], _against(points, front)))
    for name, measured in times.items():
        points = [finished(space, [measured.get(label) for label in space.labels]) for space in analysis.spaces]
        views.append(View(cost_title(name)[0], _against(points, _front(name, points))))
    return views


def cost_title(name: str) -> tuple[str, str, float]:
    """The name of a quantity, its title on an axis, and what it is divided by there."""
    call, _, batch = name.removesuffix("_ms").partition("_b")
    if name.endswith("_ms") and batch.isdecimal():
        called = {"forward": "forward", "step": "training step"}.get(call, call)
        return f"{called}, batch {batch}", f"{called}, ms, batch of {batch}", 1.0
    return _COSTS.get(name, (name.replace("_", " "), name.replace("_", " "), 1.0))


def _front(name: str, points: Sequence[Sequence[Point]]) -> Front:
    best: list[Point] = []
    for point in sorted(point for ours in points for point in ours):
        if not best or point[1] < best[-1][1]:
            best.append(point)
    costs, errors, labels = zip(*best, strict=True) if best else ((), (), ())
    return Front(cost=name, labels=labels, costs=costs, errors=errors)


def _against(points: Sequence[Sequence[Point]], front: Front) -> go.Figure:
    """`points` has for each space cost, error and label of its networks."""
    _, title, unit = cost_title(front.cost)
    figure = plane(escape(title, quote=False), ERROR, 440)
    there = [cost / unit for ours in points for cost, _, _ in ours]
    if not there:
        remark(figure, NOTHING)
        return figure
    for index, ours in enumerate(points):
        marker = {"size": 6, "opacity": 0.65, "symbol": "circle-open" if look(index).open else "circle"}
        _scatter(figure, index, [(cost / unit, error, label) for cost, error, label in ours], marker, "%{x:.4g}")
    figure.add_scatter(
        x=short(cost / unit for cost in front.costs),
        y=short(front.errors),
        customdata=[shown(label) for label in front.labels],
        mode="lines+markers",
        line={"color": GREY, "width": 1.5, "shape": "hv"},
        marker={"symbol": "circle-open", "size": 11, "color": GREY, "line": {"width": 2}},
        hovertemplate="front: %{customdata}<br>%{x:.4g}: %{y:.2f} %<extra></extra>",
    )
    if min(there) > 0 and max(there) > WIDE * min(there):
        title = f"{escape(title, quote=False)} (log)"
        figure.update_layout(xaxis={"type": "log", "tickvals": powers(there, 7), "title": {"text": title}})
    return figure


def _scatter(figure: go.Figure, index: int, points: Sequence[Point], marker: Mapping[str, object], x: str) -> None:
    """Networks of the space at `index`; `x` is how their values are written."""
    figure.add_scatter(
        x=short(value for value, _, _ in points),
        y=short(error for _, error, _ in points),
        customdata=[shown(label) for _, _, label in points],
        mode="markers",
        marker={"color": look(index).colour, **marker},
        hovertemplate=f"%{{customdata}}<br>{x}: %{{y:.2f}} %<extra></extra>",
    )


def importance_views(analysis: Analysis) -> list[View]:
    """The share of the variance that each axis explains alone; one figure a space."""
    return [
        View(space.name, _bars(index, space.importances.axes[:MOST_BARS], space.importances.reason))
        for index, space in enumerate(analysis.spaces)
    ]


def _bars(index: int, axes: Sequence[Importance], reason: str) -> go.Figure:
    figure = plane("share of variance, %", "", 110 + 26 * max(len(axes), 2))
    if not axes:
        remark(figure, escape(reason, quote=False))
        return figure
    places = list(range(len(axes)))[::-1]
    ends = [interval(axis.share) or (axis.share.value, axis.share.value) for axis in axes]
    figure.add_bar(
        orientation="h",
        x=short(100 * axis.share.value for axis in axes),
        y=places,
        text=[shown(axis.name) for axis in axes],
        textposition="none",
        marker={"color": [look(index).colour if axis.above_null else GREY for axis in axes]},
        error_x={
            "array": short(100 * (high - axis.share.value) for axis, (_, high) in zip(axes, ends, strict=True)),
            "arrayminus": short(100 * (axis.share.value - low) for axis, (low, _) in zip(axes, ends, strict=True)),
            "width": 4,
        },
        hovertemplate="%{text}: %{x:.1f} %<extra></extra>",
    )
    figure.add_scatter(
        x=short(100 * axis.null_high for axis in axes),
        y=places,
        mode="markers",
        marker={"symbol": "line-ns", "size": 15, "line": {"width": 3, "color": "#E69F00"}},
        hovertemplate="noise reaches %{x:.1f} %<extra></extra>",
    )
    names = {"tickvals": places, "ticktext": [shown(axis.name) for axis in axes], "showgrid": False}
    return figure.update_layout(bargap=0.35, xaxis={"rangemode": "tozero"}, yaxis=names)


def rule_view(analysis: Analysis) -> View:
    """Error against the distance of widths from RegNet's quantised linear rule."""
    figure = plane("e_fit: distance from the linear rule", ERROR)
    for index, space in enumerate(analysis.spaces):
        points = finished(space, space.linear_rule.fits)
        if points:
            _scatter(figure, index, points, {"size": 7, "opacity": 0.7}, "e_fit %{x:.3f}")
    if not figure.data:
        remark(figure, "no network was fitted to the rule")
    return View("", figure)
