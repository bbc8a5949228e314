"""Distributions of errors with their bands, as one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from dorsal.report.plot import ERROR, NOTHING, band, line, plane, remark, short, shown
from dorsal.stats.distribution import Band, Edf


class NamedDistribution(NamedTuple):
    """A distribution, the band `around` it, and the place of its look."""

    place: int
    name: str
    edf: Edf
    around: Band


def distribution_figure(found: Sequence[NamedDistribution]) -> go.Figure:
    """The share of networks that have at most so much error, for each of several sets of networks."""
    figure = plane(ERROR, "share of networks with at most this error", 440)
    if not found:
        remark(figure, NOTHING)
        return figure
    values = [value for each in found for value in each.edf.values]
    margin = 0.04 * (max(values) - min(values)) or 1.0
    for place, _, _, around in found:
        low, high = (0.0, *around.low, around.low[-1]), (around.high_below, *around.high, around.high[-1])
        x = _beyond(around.values, margin)
        figure.add_traces(band(place, list(zip(x, low, high, strict=True)), "hv"))
    for place, name, edf, _ in found:
        figure.add_scatter(
            x=short(_beyond(edf.values, margin)),
            y=short((0.0, *edf.share, 1.0)),
            mode="lines",
            legendgroup=str(place),
            line=line(place, "hv"),
            hovertemplate=f"{shown(name)}<br>%{{y:.3f}} of the networks have at most %{{x:.2f}} %<extra></extra>",
        )
    return figure.update_layout(yaxis={"range": [-0.02, 1.02]})


def _beyond(values: Sequence[float], margin: float) -> tuple[float, ...]:
    """The values, and a little to their left and right, where bands go on: further they would cover each other."""
    return values[0] - margin, *values, values[-1] + margin
