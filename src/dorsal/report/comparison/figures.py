"""The plots of the page as Plotly figures. Colours of text and grid are left to the page: it may be light or dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import msgspec
import plotly.graph_objects as go

from dorsal.findings.comparison import ComparisonFindings, learning_curves
from dorsal.jobs.records import Latency, Study
from dorsal.recipes.text import AnyRecipe, Recipe, recipe_text
from dorsal.report.plot import SYMBOLS, View, look, pale, plane, remark, shown
from dorsal.report.words.numerals import percent
from dorsal.spec.cost import COSTS
from dorsal.spec.task import metric_of
from dorsal.stats import Comparisons, Estimate, Shares


def cost_views(study: Study, analysis: ComparisonFindings) -> list[View]:
    """The score against each cost, one point an arm and recipe; latencies only where one was measured."""
    views = []
    for field, info in COSTS.items():
        costs = [(getattr(arm.cost, field) / info.scale, 0.0, 0.0) for arm in study.arms]
        name, title = (text[0].upper() + text[1:] for text in (info.label, info.title))
        views.append(View(name, _against(study, analysis, title, costs)))
    for name, field in (("Forward", "forward"), ("Train step", "train_step")):
        measured: list[Latency | None] = [getattr(arm, field) for arm in study.arms]
        example = next((latency for latency in measured if latency), None)
        if example is not None:
            title = f"{name}, ms for a batch of {example.batch} on {escape(example.device)}"
            views.append(View(name, _against(study, analysis, title, [_times(latency) for latency in measured])))
    return views


def _times(latency: Latency | None) -> tuple[float, float, float] | None:
    """The median and its distances to the quartiles."""
    if latency is None:
        return None
    return latency.median_ms, latency.median_ms - latency.low_ms, latency.high_ms - latency.median_ms


def _against(
    study: Study, analysis: ComparisonFindings, title: str, costs: Sequence[tuple[float, float, float] | None]
) -> go.Figure:
    """`costs` holds value, distance to the lower and to the upper end of its bar for each arm."""
    figure = plane(title, f"{metric_of(study.task).name}, %")
    # Labels of points next to each other in height go to opposite sides.
    order = sorted(range(len(study.arms)), key=lambda i: _best(study, analysis, i))
    for index, (arm, cost) in enumerate(zip(study.arms, costs, strict=True)):
        for turn, recipe in enumerate(study.recipes):
            cell = analysis.cell(arm.label, recipe)
            if cell is None or cell.score is None or cost is None:
                continue
            score = cell.score
            value, below, above = cost
            text = f"{shown(arm.label)}<br>{shown(recipe)}: {percent(score)} %"
            labelled = score.value == _best(study, analysis, index)
            figure.add_scatter(
                x=[value],
                y=[score.value],
                mode="markers+text" if labelled else "markers",
                text=[shown(arm.label)],
                textposition="middle right" if order.index(index) % 2 else "middle left",
                cliponaxis=False,
                legendgroup=str(index),
                marker={
                    "symbol": _symbol(index, turn),
                    "size": 10,
                    "color": look(index).colour,
                    "line": {"width": 1.5, "color": look(index).colour},
                },
                error_y=_bar(score),
                error_x=_quartiles(below, above),
                hovertemplate=f"{text}<br>%{{x:.4g}}<extra></extra>",
            )
    if not figure.data:
        remark(figure, "no run finished")
        return figure
    values = [cost[0] for cost in costs if cost]
    room = 0.15 * (max(values) - min(values)) or 0.1 * max(values)
    # An interval over two or three seeds may leave 0 to 100, and would squeeze all points together.
    figure.update_layout(yaxis={"minallowed": -3, "maxallowed": 103})
    return figure.update_layout(xaxis={"range": [min(values) - room, max(values) + room]})


def _best(study: Study, analysis: ComparisonFindings, index: int) -> float:
    """The highest mean of an arm over the recipes."""
    cells = (analysis.cell(study.arms[index].label, recipe) for recipe in study.recipes)
    return max((cell.score.value for cell in cells if cell and cell.score), default=0.0)


def _symbol(index: int, turn: int) -> str:
    return SYMBOLS[turn % len(SYMBOLS)] + ("-open" if look(index).open else "")


def _bar(interval: Estimate) -> dict[str, Any] | None:
    if interval.low is None or interval.high is None:
        return None
    above, below = interval.high - interval.value, interval.value - interval.low
    return {"array": [above], "arrayminus": [below], "thickness": 1.4, "width": 4}


def _quartiles(below: float, above: float) -> dict[str, Any] | None:
    if below == above == 0:
        return None
    return {"array": [above], "arrayminus": [below], "thickness": 1.2, "width": 3}


def curve_views(study: Study) -> list[View]:
    """Learning curves of each recipe: means over seeds with their 95 % bands; every run that has a curve counts."""
    return [View(name, _curves(study, name)) for name, recipe in study.recipes.items() if isinstance(recipe, Recipe)]


def level_views(study: Study, found: ComparisonFindings) -> list[View]:
    """The score by the level whose features a probe was given, one view for each kind of probe that was given several;
    the network's own features stand last."""
    kinds: dict[AnyRecipe, dict[int | None, str]] = {}
    for name, recipe in study.recipes.items():
        if not isinstance(recipe, Recipe):
            kinds.setdefault(msgspec.structs.replace(recipe, level=None), {})[recipe.level] = name
    return [View(recipe_text(kind), _by_level(study, found, names)) for kind, names in kinds.items() if len(names) > 1]


def _by_level(study: Study, found: ComparisonFindings, names: Mapping[int | None, str]) -> go.Figure:
    figure = plane("level", f"{metric_of(study.task).name}, %")
    levels = sorted(names, key=lambda level: (level is None, level or 0))
    ticks = ["its own" if level is None else str(level) for level in levels]
    for index, arm in enumerate(study.arms):
        cells = ((tick, found.cell(arm.label, names[level])) for tick, level in zip(ticks, levels, strict=True))
        known = [(tick, cell.score) for tick, cell in cells if cell and cell.score]
        bars = [_bar(score) for _, score in known]
        figure.add_scatter(
            x=[tick for tick, _ in known],
            y=[score.value for _, score in known],
            mode="lines+markers",
            legendgroup=str(index),
            line={"color": look(index).colour},
            marker={"symbol": _symbol(index, 0), "size": 9, "color": look(index).colour},
            error_y={
                "array": [bar["array"][0] if bar else 0.0 for bar in bars],
                "arrayminus": [bar["arrayminus"][0] if bar else 0.0 for bar in bars],
                "thickness": 1.4,
                "width": 4,
            },
            hovertemplate=f"{shown(arm.label)}, level %{{x}}: %{{y:.2f}} %<extra></extra>",
        )
    return figure.update_layout(xaxis={"type": "category", "categoryorder": "array", "categoryarray": ticks})


def _curves(study: Study, recipe: str) -> go.Figure:
    figure = plane("epoch", f"{metric_of(study.task).name}, %")
    curves = learning_curves(study, recipe)
    for index, arm in enumerate(study.arms):
        curve = curves.get(arm.label)
        if curve is None:
            continue
        banded = [(epoch, mean.low, mean.high) for epoch, mean in curve.items() if mean.low is not None]
        colour = look(index).colour
        if banded:
            around, lows, highs = zip(*banded, strict=True)
            figure.add_scatter(
                x=[*around, *reversed(around)],
                y=[*highs, *reversed(lows)],
                fill="toself",
                fillcolor=pale(index, 0.16),
                mode="none",
                legendgroup=str(index),
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=list(curve),
            y=[mean.value for mean in curve.values()],
            mode="lines" if len(curve) > 1 else "markers",
            legendgroup=str(index),
            line={"color": colour, "dash": look(index).dash, "width": 2},
            hovertemplate=f"{shown(arm.label)}<br>epoch %{{x}}: %{{y:.2f}} %<extra></extra>",
        )
    if not figure.data:
        remark(figure, "no run has a curve")
        return figure
    # The bands of few seeds are wide: the runs decide the scale, not the bands.
    runs = [trial.curve for (_, name, _), trial in study.ended().items() if name == recipe]
    scores = [point.score for curve in runs for point in curve]
    low, high = min(scores), max(scores)
    margin = 0.06 * (high - low) + 0.5
    return figure.update_layout(yaxis={"range": [low - margin, high + margin]})


def share_view(shares: Shares) -> View:
    """Shares of the variance with their intervals, the first on top."""
    figure = plane("share of the variance, %", "")
    rows = list(reversed(shares.shares.items()))
    reach = [(s.high - s.value, s.value - s.low) for _, s in rows if s.low is not None and s.high is not None]
    bars = {"array": [100 * above for above, _ in reach], "arrayminus": [100 * below for _, below in reach], "width": 5}
    figure.add_bar(
        orientation="h",
        x=[100 * share.value for _, share in rows],
        y=[name for name, _ in rows],
        marker={"color": [SHARE_COLOURS[name] for name, _ in rows]},
        error_x=bars if reach else None,  # all have intervals or none has
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    figure.update_layout(height=90 + 40 * len(rows), xaxis={"range": [0, 102]}, bargap=0.35)
    return View("", figure)


SHARE_COLOURS = {
    "arm": "#0072B2",
    "recipe": "#E69F00",
    "interaction": "#CC79A7",
    "seed": "#56B4E9",
    "residual": "#7F7F7F",
}


def pair_views(analysis: ComparisonFindings) -> list[View]:
    """Differences of all pairs with simultaneous intervals, for each comparison."""
    return [View(name, _forest(comparisons)) for name, comparisons in analysis.comparisons.items()]


def _forest(comparisons: Comparisons) -> go.Figure:
    """One row a pair, its names above it, so that long names do not push the plot off a small screen."""
    figure = plane("points, better minus worse", "")
    pairs = comparisons.pairs
    for significant, colour, symbol in ((True, "#0072B2", "circle"), (False, "#7F7F7F", "circle-open")):
        rows = [(-row, pair) for row, pair in enumerate(pairs) if pair.significant == significant]
        found = [pair.difference for _, pair in rows]
        above = [None if each.high is None else each.high - each.value for each in found]
        below = [None if each.low is None else each.value - each.low for each in found]
        bars = {"array": above, "arrayminus": below, "thickness": 2, "width": 4}
        figure.add_scatter(
            x=[each.value for each in found],
            y=[row for row, _ in rows],
            text=[f"{shown(pair.better)} − {shown(pair.worse)}" for _, pair in rows],
            mode="markers",
            marker={"size": 9, "color": colour, "symbol": symbol},
            error_x=bars if any(above) else None,
            hovertemplate="%{text}: %{x:.2f}<extra></extra>",
        )
    names = [
        {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 0.38 - row,
            "text": f"{shown(pair.better)} − {shown(pair.worse)}",
            "showarrow": False,
            "font": {"size": 11},
        }
        for row, pair in enumerate(pairs)
    ]
    figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": "#7F7F7F"})
    figure.update_layout(
        annotations=names,
        margin={"l": 16},
        height=100 + 42 * max(len(pairs), 1),
        yaxis={"visible": False, "range": [0.3 - len(pairs), 0.8]},
    )
    if not pairs:
        remark(figure, "no two arms share a seed")
    return figure
