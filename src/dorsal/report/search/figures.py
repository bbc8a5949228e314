"""The plots of a search's page as Plotly figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dorsal.findings.search import SearchFindings
from dorsal.report.fronts import against
from dorsal.report.plot import ERROR, GREY, NOTHING, Point, View, band, look, plane, remark, short, shown
from dorsal.study.search.records import SearchStudy

SEARCH, RANDOM = 0, 1
"""Looks of the search and of random search."""


def course_view(search: SearchStudy, outcome: SearchFindings) -> View:
    """Every finished network where it was asked for, and the best so far; beside the luck of random searches."""
    figure = plane("networks, in the order asked for", ERROR, 440)
    if outcome.best is None:
        remark(figure, NOTHING)
        return View("", figure)
    if outcome.against is not None:
        points = outcome.against.curve.points
        figure.add_traces(band(RANDOM, [(point.k, point.lucky, point.unlucky) for point in points]))
        figure.add_scatter(
            x=[point.k for point in points],
            y=short(point.median for point in points),
            mode="lines",
            legendgroup=str(RANDOM),
            line={"color": look(RANDOM).colour, "width": 2},
            hovertemplate="best of %{x} random networks: %{y:.2f} %, the median<extra></extra>",
        )
    networks = search.log.networks
    for drawn, marker in ((True, {"symbol": "circle-open", "color": GREY}), (False, {"color": look(SEARCH).colour})):
        found = [
            (place, error, network.label)
            for place, (network, error) in enumerate(zip(networks, outcome.errors, strict=True), 1)
            if error is not None and network.drawn == drawn
        ]
        _networks(figure, found, marker)
    figure.add_scatter(
        x=list(range(1, len(networks) + 1)),
        y=list(outcome.best_so_far),
        mode="lines",
        legendgroup=str(SEARCH),
        line={"color": look(SEARCH).colour, "width": 2, "shape": "hv"},
        hovertemplate="best of the first %{x}: %{y:.2f} %<extra></extra>",
    )
    return View("", figure.update_layout(xaxis={"range": [0, len(networks) + 1]}))


def _networks(figure: go.Figure, points: Sequence[Point], marker: Mapping[str, object]) -> None:
    figure.add_scatter(
        x=[place for place, _, _ in points],
        y=short(error for _, error, _ in points),
        customdata=[shown(label) for _, _, label in points],
        mode="markers",
        legendgroup=str(SEARCH),
        marker={"size": 7, "opacity": 0.7, **marker},
        hovertemplate="%{customdata}: %{y:.2f} %<extra></extra>",
    )


def front_views(search: SearchStudy, outcome: SearchFindings) -> list[View]:
    """Error against every other objective, with the front; where there is none, against MACs, parameters, activations.

    The front is that of all objectives, so with three or more no line through it falls in every plot.
    """
    views = []
    for front in outcome.fronts:
        points = [
            (network.costs[front.cost], error, network.label)
            for network, error in zip(search.log.networks, outcome.errors, strict=True)
            if error is not None
        ]
        views.append(against([points], front, "predicted", joined=len(outcome.objectives) < 3))
    return views
