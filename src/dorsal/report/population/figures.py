"""The plots of a population's page as Plotly figures, but for those of axes. A space has one look in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite
from statistics import fmean

import plotly.graph_objects as go

from dorsal.findings.latency import LatencyFindings
from dorsal.findings.population.records import ErrorDistribution, Importance, PopulationFindings, SpaceFinding, Value
from dorsal.jobs.results import NoResult
from dorsal.report.distributions import NamedDistribution, distribution_figure
from dorsal.report.fronts import against, scatter
from dorsal.report.plot import (
    ERROR,
    GREY,
    Point,
    View,
    band,
    interval,
    line,
    look,
    plane,
    powers,
    remark,
    short,
    shown,
    whiskers,
)
from dorsal.report.words.numerals import cost_title
from dorsal.report.words.populations import no_importances
from dorsal.study.population.records import RecheckRuns

MOST_BARS = 20


def distribution_views(analysis: PopulationFindings) -> list[View]:
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


def _distributions(
    analysis: PopulationFindings, found: Sequence[tuple[int, ErrorDistribution]], *, pointwise: bool
) -> go.Figure:
    return distribution_figure(
        [
            NamedDistribution(
                index, analysis.spaces[index].name, each.edf, each.pointwise if pointwise else each.simultaneous
            )
            for index, each in found
        ]
    )


def search_views(analysis: PopulationFindings) -> list[View]:
    """The error of the best of k networks: what to expect, and how searches differ."""
    return [
        View("expected", _search(analysis, luck=False)),
        View("the luck of searches", _search(analysis, luck=True)),
    ]


def _search(analysis: PopulationFindings, *, luck: bool) -> go.Figure:
    figure = plane("networks tried, k (log)", "error of the best of k, %")
    most = 1
    for index, space in enumerate(analysis.spaces):
        if space.summary is None or not (points := space.summary.searches):
            continue
        most = max(most, points[-1].k)
        expected = [(point.k, *ends) for point in points if (ends := interval(point.expected))]
        figure.add_traces(
            band(index, [(point.k, point.lucky, point.unlucky) for point in points] if luck else expected)
        )
        figure.add_scatter(
            x=[point.k for point in points],
            y=short(point.median if luck else point.expected.value for point in points),
            mode="lines+markers",
            legendgroup=str(index),
            line=line(index),
            hovertemplate=f"{shown(space.name)}<br>best of %{{x}}: %{{y:.2f}} %<extra></extra>",
        )
    if not figure.data:
        remark(figure, "no space has four networks that finished")
        return figure
    return figure.update_layout(xaxis={"type": "log", "tickvals": powers((1, most), 10)})


def front_views(analysis: PopulationFindings, latency: LatencyFindings | None) -> list[View]:
    """Error against each cost, with the front of networks that no other beats in both; also against measured times."""
    views = []
    for front in analysis.fronts:
        points = [finished(space, space.costs[front.cost]) for space in analysis.spaces]
        views.append(against(points, front, "predicted"))
    if latency is not None:
        for front in latency.fronts:
            times = latency.times[front.cost]
            points = [finished(space, [times.get(label) for label in space.labels]) for space in analysis.spaces]
            views.append(against(points, front, "measured"))
    return views


def finished(space: SpaceFinding, values: Sequence[Value]) -> list[Point]:
    """Value, error and label of the networks that have a value and an error; `values` has one entry a network."""
    rows = zip(values, space.errors, space.labels, strict=True)
    return [
        (value, error, label)
        for value, error, label in rows
        if error is not None and isfinite(error) and (isinstance(value, str) or (value is not None and isfinite(value)))
    ]


def importance_views(analysis: PopulationFindings) -> list[View]:
    """The share of the variance that each axis explains alone; one figure a space."""
    return [
        View(space.name, _bars(index, space.importances.axes[:MOST_BARS], no_importances(space.importances)))
        for index, space in enumerate(analysis.spaces)
    ]


def _bars(index: int, axes: Sequence[Importance], reason: str) -> go.Figure:
    figure = plane("share of variance, %", "", 110 + 26 * max(len(axes), 2))
    if not axes:
        remark(figure, escape(reason, quote=False))
        return figure
    places = list(range(len(axes)))[::-1]
    figure.add_bar(
        orientation="h",
        x=short(100 * axis.share.value for axis in axes),
        y=places,
        text=[shown(axis.name) for axis in axes],
        textposition="none",
        marker={"color": [look(index).colour if axis.above_null else GREY for axis in axes]},
        hovertemplate="%{text}: %{x:.1f} %<extra></extra>",
    )
    across, along = whiskers((place, axis.share) for place, axis in zip(places, axes, strict=True))
    percent = [None if end is None else 100 * end for end in along]
    figure.add_scatter(x=percent, y=across, mode="lines", line={"width": 1.5}, hoverinfo="skip")
    figure.add_scatter(
        x=short(100 * axis.null_high for axis in axes),
        y=places,
        mode="markers",
        marker={"symbol": "line-ns", "size": 15, "line": {"width": 3, "color": "#E69F00"}},
        hovertemplate="noise reaches %{x:.1f} %<extra></extra>",
    )
    names = {"tickvals": places, "ticktext": [shown(axis.name) for axis in axes], "showgrid": False}
    return figure.update_layout(bargap=0.35, xaxis={"rangemode": "tozero"}, yaxis=names)


def schedule_views(analysis: PopulationFindings, evidence: RecheckRuns) -> list[View]:
    """Error at the population's schedule against that at each longer one, of networks all of whose runs finished."""
    first, *longer = map(shown, evidence.budgets)
    views = []
    for place, long in enumerate(longer, 1):
        figure = plane(f"error after {first}, %", f"error after {long}, %", 440)
        for index, space in enumerate(analysis.spaces):
            points = [
                (before, after, label)
                for label, runs in zip(evidence.labels, evidence.runs, strict=True)
                if label in space.labels
                if (before := _mean(runs[0])) is not None and (after := _mean(runs[place])) is not None
            ]
            scatter(figure, index, points, {"size": 7, "opacity": 0.7}, f"{first}: %{{x:.2f}} %, {long}")
        if not any(trace.x for trace in figure.data):
            remark(figure, "no network has finished at both schedules")
        views.append(View(f"{first} and {long}", figure))
    return views


def _mean(runs: Sequence[float | NoResult]) -> float | None:
    """The error over seeds, if all runs finished."""
    errors = [run for run in runs if not isinstance(run, str)]
    return fmean(errors) if len(errors) == len(runs) else None


def rule_view(analysis: PopulationFindings) -> View:
    """Error against the distance of widths from RegNet's quantised linear rule."""
    figure = plane("e_fit: distance from the linear rule", ERROR)
    for index, space in enumerate(analysis.spaces):
        points = finished(space, space.linear_rule.fits)
        if points:
            scatter(figure, index, points, {"size": 7, "opacity": 0.7}, "e_fit %{x:.3f}")
    if not figure.data:
        remark(figure, "no network was fitted to the rule")
    return View("", figure)
