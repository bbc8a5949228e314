"""The plots of the page as Plotly figures. Colours of text and grid are left to the page: it may be light or dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import msgspec
import numpy as np
import plotly.graph_objects as go

from dorsal.findings.comparison import ComparisonFindings, learning_curves
from dorsal.findings.deployed import DeployedFindings
from dorsal.jobs.records import Latency, Study
from dorsal.recipes.text import AnyRecipe, Recipe, recipe_text
from dorsal.report.fronts import axis
from dorsal.report.pairs import forest
from dorsal.report.plot import GREY, NOTHING, SYMBOLS, View, look, pale, plane, remark, short, shown
from dorsal.report.words.numerals import percent
from dorsal.spec.cost import COSTS
from dorsal.spec.task import metric_of
from dorsal.stats import Estimate, Shares


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


def deployed_view(study: Study, found: DeployedFindings) -> View:
    """The score against the time of what is deployed, with intervals of both, and the front."""
    figure = plane("", f"{metric_of(study.task).name}, %")
    known = [(each, each.score) for each in found.rows if each.score is not None]
    if not known:
        remark(figure, NOTHING)
        return View("", figure)
    indices = {arm.label: index for index, arm in enumerate(study.arms)}
    figure.add_scatter(
        x=short(found.front.costs),
        y=short(100 - error for error in found.front.errors),
        mode="lines",
        line={"color": GREY, "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
    )
    # The front comes from below and leaves to the right; labels of neighbours go to opposite sides.
    for turn, (each, score) in enumerate(sorted(known, key=lambda pair: pair[1].value)):
        index = indices[each.arm]
        figure.add_scatter(
            x=[each.median.value],
            y=[score.value],
            mode="markers+text",
            text=[shown(each.arm)],
            textposition="top left" if turn % 2 else "bottom right",
            cliponaxis=False,
            legendgroup=str(index),
            marker={"symbol": _symbol(index, 0), "size": 10, "color": look(index).colour},
            error_x=_bar(each.median),
            error_y=_bar(score),
            hovertemplate=f"{shown(each.arm)}, {found.arm(each.arm).form.name}<br>%{{x:.4g}} ms: {percent(score)} %"
            "<extra></extra>",
        )
    times = [each.median.value for each, _ in known]
    scale = axis("median time of one call, ms", times, 7)
    ends = np.log10([min(times), max(times)]) if "type" in scale else np.array([min(times), max(times)])
    room = 0.2 * (ends[1] - ends[0]) or 0.1 * max(times)
    figure.update_layout(
        xaxis={**scale, "range": [float(ends[0] - room), float(ends[1] + room)]},
        yaxis={"minallowed": -3, "maxallowed": 103},
    )
    return View("", figure)


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


def pair_views(study: Study, analysis: ComparisonFindings) -> list[View]:
    """Differences of all pairs with simultaneous intervals, for each comparison."""
    return [
        View(name, forest(comparisons.pairs, analysis.verdicts[name], study.margin, " points"))
        for name, comparisons in analysis.comparisons.items()
    ]
