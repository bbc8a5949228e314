"""The latency of a population's networks on the machine that was measured: what predicts it, and how well."""

from __future__ import annotations

import plotly.graph_objects as go

from dorsal.findings.latency import LatencyFindings, TimedFit
from dorsal.findings.population.records import PopulationFindings
from dorsal.latency.records import LatencyModel, TimedNetwork, fingerprint
from dorsal.report.fronts import axis
from dorsal.report.parts import estimated, items, legend, table
from dorsal.report.plot import GREY, GRID, View, look, plane, short, shown
from dorsal.report.shell import chart, prose
from dorsal.report.words.latency import contest_sentence, fit_title, in_runtimes, side_by_side
from dorsal.report.words.numerals import cost_title, plural

FITTED = "fitted by all predictors, ms"

_PREDICTORS = {"macs": "MACs", "sqrt_macs": "√MACs", "params": "parameters"}


def latency_section(found: PopulationFindings, latency: LatencyFindings) -> str:
    """What is in the section."""
    model, setting = latency.model, latency.model.setting
    about = (
        f"{plural(model.networks, 'network')} of {', '.join(model.spaces)}, {plural(model.rounds, 'round')}, "
        f"{plural(setting.threads, 'thread')}, {setting.device}, {setting.precision}{in_runtimes(setting)}, on "
        f"{fingerprint(model.machine)}."
    )
    timed = dict.fromkeys(_space(each) for fitted in latency.fits for each in fitted.networks)
    names = list(dict.fromkeys([*(space.name for space in found.spaces), *timed]))
    views = [View(fit_title(fitted.fit, setting), _panels(fitted, names)) for fitted in latency.fits]
    sentences = [contest_sentence(fit, setting) for fit in model.fits]
    caption = (
        "One point a network: the narrower the cloud, the better its time is known from what is below. On the dotted "
        "line measured and fitted time are equal; the fit has seen these networks, while errors in the table are on "
        "networks that it has not seen."
    )
    looks = legend({index: name for index, name in enumerate(names) if name in timed})
    return f"""<p class="soft">{prose(about)}</p>
<div class="panels">{chart("Latency", views, caption, looks)}</div>
{_scores(model)}{_contests(model)}<ul class="caveats">{items(sentences)}</ul>"""


def _space(timed: TimedNetwork) -> str:
    return timed.label.rpartition("/")[0]


def _panels(found: TimedFit, names: list[str]) -> go.Figure:
    """Measured times against MACs, against activations, and against what all predictors together say."""
    figure = plane("", "", 400)
    timed, times, predicted = found.networks, found.measured, found.predicted
    both = [*times, *predicted]
    panels = []
    for cost in ("macs", "activations"):
        _, title, unit = cost_title(cost)
        values = tuple(each.costs[cost] / unit for each in timed)
        panels.append((title, values, values))
    for place, (title, values, span) in enumerate([*panels, (FITTED, predicted, both)]):
        number = str(place + 1) if place else ""
        for index, name in enumerate(names):
            ours = [row for row, each in enumerate(timed) if _space(each) == name]
            figure.add_scatter(
                x=short(values[row] for row in ours),
                y=short(times[row] for row in ours),
                customdata=[shown(timed[row].label) for row in ours],
                xaxis=f"x{number}",
                mode="markers",
                legendgroup=str(index),
                marker={"color": look(index).colour, "size": 6, "opacity": 0.7},
                hovertemplate="%{customdata}<br>%{x:.4g}: measured %{y:.4g} ms<extra></extra>",
            )
        across = [place / 3 + 0.02 * (place > 0), (place + 1) / 3 - 0.02 * (place < 2)]
        looks = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False}
        figure.update_layout({f"xaxis{number}": {**looks, **axis(title, span, 5), "domain": across}})
    ends = short([min(times), max(times)])
    equal = {"color": GREY, "dash": "dot"}
    figure.add_scatter(x=ends, y=ends, xaxis="x3", mode="lines", line=equal, hoverinfo="skip")
    return figure.update_layout(yaxis=axis("measured, ms", both, 5))


def _scores(model: LatencyModel) -> str:
    """Every predictor alone and all together, two columns a call, batch and runtime."""
    head = ["predicted by"]
    for fit in model.fits:
        name = fit_title(fit, model.setting)
        head += [f"{name}<br>median error, %", f"{name}<br>tau"]
    rows = []
    for scores in zip(*(fit.scores.scores for fit in model.fits), strict=True):
        together = len(scores[0].predictors) > 1
        name = "all together" if together else _PREDICTORS.get(scores[0].predictors[0], scores[0].predictors[0])
        rows.append([name, *(cell for score in scores for cell in (estimated(score.error, 1), estimated(score.tau)))])
    return table("Predictors of latency", head, rows)


def _contests(model: LatencyModel) -> str:
    """Activations against MACs, the runtimes below each other."""
    rows = [
        [
            title,
            estimated(fit.contest.first.error, 1),
            estimated(fit.contest.second.error, 1),
            estimated(fit.contest.error_difference, 1, "+"),
            better,
        ]
        for title, fit, better in side_by_side(model)
    ]
    head = ["median error, %", "by activations", "by MACs", "difference, points", "better"]
    return table("Activations against MACs", head, rows) if rows else ""
