"""Error against each axis of a space: small plots side by side, one figure a space."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from itertools import groupby, pairwise
from math import log10
from typing import Any, NamedTuple

import plotly.graph_objects as go

from dorsal.findings.population.records import AxisFinding, PopulationFindings, SpaceFinding
from dorsal.report.plot import (
    ERROR,
    GREY,
    GRID,
    NOTHING,
    Point,
    Trace,
    View,
    band,
    interval,
    look,
    plane,
    powers,
    remark,
    short,
    shown,
    whiskers,
)
from dorsal.report.population.figures import finished
from dorsal.report.words.populations import no_profile
from dorsal.stats.axis import Level

ABREAST = 4
ROW, GAP, TOP = 140, 84, 12
"""Heights in pixels: of a small plot, of what is between two, and above the first."""
MOST_TICKS = 5
WORDS = 44
"""Letters that fit side by side below a small plot."""
SIGNIFICANT = 0.05

_UNITS = {
    "depths": "blocks",
    "total depth": "blocks",
    "linear.depth": "blocks",
    "widths": "channels",
    "linear.w0": "channels",
    "mixer.group_width": "channels",
    "stem.width": "channels",
    "image_size": "pixels",
}


class Panel(NamedTuple):
    """One small plot: its traces, the good ranges, and what is particular to its axis of values."""

    traces: list[Trace]
    good: list[tuple[float, float]]
    x: dict[str, Any]


def axis_views(analysis: PopulationFindings) -> list[View]:
    """For each space its axes: those by stage first, a row each where there are as many stages as plots in a row."""
    return [View(space.name, _panels(index, space)) for index, space in enumerate(analysis.spaces)]


def drawn_axes(space: SpaceFinding) -> list[AxisFinding]:
    """The axes that vary over the networks with a result, those by stage first."""
    varied = [axis for axis in space.axes if len({value for value, _, _ in finished(space, axis.values)}) > 1]
    return sorted(varied, key=lambda axis: axis.stage is None)


def _panels(index: int, space: SpaceFinding) -> go.Figure:
    axes = drawn_axes(space)
    rows = -(-len(axes) // ABREAST)
    height = TOP + max(rows, 1) * (ROW + GAP)
    figure = plane("", ERROR, height)
    if not axes:
        remark(figure, NOTHING if space.summary is None else "no axis has several values")
        return figure
    errors = [error for _, error, _ in finished(space, space.labels)]
    margin = 0.06 * (max(errors) - min(errors)) or 1.0
    traces: list[Trace] = []
    layout: dict[str, Any] = {"margin": {"l": 52, "r": 8, "t": 0, "b": 0}, "shapes": []}
    for place, axis in enumerate(axes):
        number = "" if place == 0 else str(place + 1)
        points = finished(space, axis.values)
        panel = (_words if isinstance(points[0][0], str) else _numbers)(index, axis, points)
        traces += [{**trace, "xaxis": f"x{number}", "yaxis": f"y{number}"} for trace in panel.traces]
        layout["shapes"] += [_good(axis, ends, number) for ends in panel.good]
        first = place % ABREAST == 0
        across, up = _place(place, height)
        shared = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "tickfont": {"size": 10}}
        layout[f"xaxis{number}"] = {
            **shared,
            **panel.x,
            "domain": across,
            "anchor": f"y{number}",
            "title": {"text": _title(axis), "standoff": 4, "font": {"size": 11}},
        }
        layout[f"yaxis{number}"] = {
            **shared,
            "domain": up,
            "anchor": f"x{number}",
            "range": [min(errors) - margin, max(errors) + margin],
            "nticks": 5,
            "showticklabels": first,
            "title": {"text": ERROR if first else "", "font": {"size": 11}},
        }
    return figure.add_traces(traces).update_layout(layout)


def _title(axis: AxisFinding) -> str:
    """The axis with its unit; below it why there are points only, where that is so."""
    unit = f", {_UNITS[axis.axis]}" if axis.axis in _UNITS else ""
    reason = no_profile(axis)
    why = "<br>".join(escape(line, quote=False) for line in textwrap.wrap(reason, 40))
    return f"{shown(axis.name)}{unit}" + f'<br><span style="font-size:10px">{why}</span>' * bool(why)


def _place(place: int, height: int) -> tuple[list[float], list[float]]:
    """Where the small plot is, across and up, as shares of a figure of this height in pixels."""
    row, column = divmod(place, ABREAST)
    across = [column / ABREAST + 0.012 * (column > 0), (column + 1) / ABREAST - 0.012 * (column < ABREAST - 1)]
    top = height - TOP - row * (ROW + GAP)
    return across, [(top - ROW) / height, top / height]


def _good(axis: AxisFinding, ends: tuple[float, float], number: str) -> dict[str, Any]:
    """Two lines over the whole height of a small plot; what is between them is shaded where the axis matters."""
    matters = axis.adjusted_p is not None and axis.adjusted_p < SIGNIFICANT
    return {
        "type": "rect",
        "xref": f"x{number}",
        "yref": f"y{number} domain",
        "x0": ends[0],
        "x1": ends[1],
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"width": 1, "color": GREY, "dash": "solid" if matters else "dot"},
        "fillcolor": "rgba(127,127,127,0.18)" if matters else "rgba(0,0,0,0)",
    }


def _numbers(index: int, axis: AxisFinding, points: Sequence[Point]) -> Panel:
    """Networks, and the means of bins; neighbours that both have an interval are joined."""
    values = [float(value) for value, _, _ in points]
    traces = [_cloud(index, values, points, [shown(label) for _, _, label in points])]
    if axis.numeric is not None:
        for known, run in groupby(axis.numeric.bins, key=lambda bin_: interval(bin_.errors.mean) is not None):
            traces += _means(index, [(bin_.centre, bin_.errors) for bin_ in run], joined=known)
    found = axis.good_range
    good = [] if found is None or found.inside == 1 else [(found.low, found.high)]
    return Panel(traces, good, _scale(sorted(set(values)), axis.logarithmic))


def _scale(values: Sequence[float], logarithmic: bool) -> dict[str, Any]:
    """Range and ticks of an axis over these values in rising order; few that are well apart are ticks themselves."""
    logarithmic = logarithmic and values[0] > 0
    places = [log10(value) for value in values] if logarithmic else values
    span = places[-1] - places[0]
    scale: dict[str, Any] = {"range": [places[0] - 0.06 * span, places[-1] + 0.06 * span], "nticks": MOST_TICKS}
    if logarithmic:
        scale["type"] = "log"
    if len(values) <= MOST_TICKS + 1 and min(b - a for a, b in pairwise(places)) > 0.12 * span:
        scale["tickvals"] = values
    elif logarithmic and len(ticks := powers(values, MOST_TICKS)) > 2:  # Plotly's own are better on less than a decade
        scale["tickvals"] = ticks
    return scale


def _words(index: int, axis: AxisFinding, points: Sequence[Point]) -> Panel:
    """Networks in a column for each value, spread so that they can be told apart, and the means."""
    words = sorted({str(value) for value, _, _ in points})
    # The golden ratio's multiples spread any number of networks evenly, alike on every page.
    places = [words.index(str(value)) + 0.5 * (turn * 0.618034 % 1) - 0.25 for turn, (value, _, _) in enumerate(points)]
    said = [f"{shown(label)}<br>{escape(str(value), quote=False)}" for value, _, label in points]
    traces = [_cloud(index, places, points, said)]
    if axis.categorical is not None:
        found = [(words.index(category.value), category.errors) for category in axis.categorical.categories]
        traces += _means(index, found, joined=False)
    values = {each.value: each for each in axis.good_values.values} if axis.good_values else {}
    names = [
        _brief(word, WORDS // len(words)) + (f"<br>{100 * values[word].wins:.0f} %" if values else "") for word in words
    ]
    good = [(place - 0.45, place + 0.45) for place, word in enumerate(words) if values and values[word].good]
    ticks = {"tickvals": list(range(len(words))), "ticktext": names, "tickangle": 0}
    return Panel(traces, good if len(good) < len(words) else [], {**ticks, "range": [-0.6, len(words) - 0.4]})


def _brief(word: str, longest: int) -> str:
    """A value without its arguments, in lines of at most so many letters: `selective_kernel(paths=2)` → two lines."""
    name, bracket, _ = word.partition("(")
    lines = textwrap.wrap(name.replace("_", "_ ") + "(…)" * bool(bracket), max(longest, 2))
    return "<br>".join(escape(line.replace("_ ", "_"), quote=False) for line in lines[:3])


def _cloud(index: int, places: Sequence[float], points: Sequence[Point], said: Sequence[str]) -> Trace:
    return {
        "type": "scatter",
        "x": short(places),
        "y": short(error for _, error, _ in points),
        "customdata": said,
        "mode": "markers",
        "marker": {"color": look(index).colour, "size": 5, "opacity": 0.45},
        "hovertemplate": "%{customdata}: %{y:.2f} %<extra></extra>",
    }


def _means(index: int, levels: Sequence[tuple[float, Level]], *, joined: bool) -> list[Trace]:
    """The means of several networks with their intervals; `joined` also by a line, and the intervals by a band."""
    means = [(place, level.mean) for place, level in levels if level.n > 1]
    colour = look(index).colour
    across, along = whiskers(means)
    bars = {
        "type": "scatter",
        "x": across,
        "y": along,
        "mode": "lines",
        "line": {"color": colour, "width": 1},
        "hoverinfo": "skip",
    }
    diamonds = {
        "type": "scatter",
        "x": short(place for place, _ in means),
        "y": short(mean.value for _, mean in means),
        "mode": "lines+markers" if joined else "markers",
        "line": {"color": colour, "width": 2},
        "marker": {
            "color": colour,
            "size": 6,
            "symbol": ["diamond" if interval(mean) else "diamond-open" for _, mean in means],
        },
        "hovertemplate": "mean %{y:.2f} %<extra></extra>",
    }
    around = band(index, [(place, *ends) for place, mean in means if (ends := interval(mean))]) if joined else []
    return [*around, bars, diamonds]
