"""The latency of a population's networks on the machine that was measured: what predicts it, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import NamedTuple

import plotly.graph_objects as go

from dorsal.report.fronts import WIDE, Costs
from dorsal.report.numerals import cost_title, plural
from dorsal.report.parts import items, legend, table
from dorsal.report.plot import GREY, View, look, plane, powers, short, shown
from dorsal.report.population.numerals import estimated
from dorsal.report.shell import chart, prose
from dorsal.study.analysis.records import Analysis
from dorsal.study.latency.records import LatencyFit, LatencyModel, Measurements, Timed, fingerprint
from dorsal.study.population.records import Population

_PREDICTORS = {"macs": "MACs", "sqrt_macs": "√MACs", "params": "parameters"}


class MeasuredLatency(NamedTuple):
    """What `dorsal space latency` leaves in its folder."""

    model: LatencyModel
    measurements: Measurements


def known_times(population: Population, latency: MeasuredLatency | None) -> Costs:
    """Median milliseconds by quantity, by label of the population's networks that were timed at their image size."""
    if latency is None:
        return {}
    hashes = {arm.label: arm.network_hash for arm in population.study.arms}
    timed = {(each.network_hash, each.image_size): each for each in latency.measurements.networks}
    times: dict[str, dict[str, float]] = {}
    for drawn in population.spaces:
        for label, side in zip(drawn.labels, drawn.costs["image_size"], strict=True):
            if (found := timed.get((hashes[label], int(side)))) is not None:
                for name in latency.measurements.setting.quantities():
                    if quartiles := found.quartiles(name):
                        times.setdefault(name, {})[label] = quartiles[1]
    return times


def latency_section(analysis: Analysis, latency: MeasuredLatency | None) -> str:
    """The section, or nothing where latency was not measured."""
    if latency is None:
        return ""
    model, setting = latency.model, latency.model.setting
    about = (
        f"{plural(model.networks, 'network')} of {', '.join(model.spaces)}, {plural(model.rounds, 'round')}, "
        f"{plural(setting.threads, 'thread')}, {setting.device}, {setting.precision}, on {fingerprint(model.machine)}."
    )
    timed = dict.fromkeys(_space(each) for each in latency.measurements.networks)
    names = list(dict.fromkeys([*(space.name for space in analysis.spaces), *timed]))
    views = [View(cost_title(fit.quantity)[0], _scatter(fit, latency.measurements, names)) for fit in model.fits]
    caption = (
        "Measured against fitted time, one point a network; on the line they are equal. The fit is by all predictors "
        "together and has seen these networks; the table has its error on networks that it has not seen."
    )
    looks = legend({index: name for index, name in enumerate(names) if name in timed})
    return f"""<section><h2>Latency</h2><p class="soft">{prose(about)}</p>{chart("Latency", views, caption, looks)}
{_scores(model)}<ul class="caveats">{items(_contest(fit) for fit in model.fits)}</ul></section>
"""


def _space(timed: Timed) -> str:
    return timed.label.rpartition("/")[0]


def _scatter(fit: LatencyFit, measurements: Measurements, names: list[str]) -> go.Figure:
    figure = plane("fitted, ms", "measured, ms", 440)
    timed = [(each, found[1]) for each in measurements.networks if (found := each.quartiles(fit.quantity))]
    predicted = {each.label: _predicted(fit, each.costs) for each, _ in timed}
    ends = [min(value for _, value in timed), max(value for _, value in timed)]
    line = {"color": GREY, "dash": "dot"}
    figure.add_scatter(x=short(ends), y=short(ends), mode="lines", line=line, hoverinfo="skip")
    for index, name in enumerate(names):
        ours = [(each.label, time) for each, time in timed if _space(each) == name]
        figure.add_scatter(
            x=short(predicted[label] for label, _ in ours),
            y=short(time for _, time in ours),
            customdata=[shown(label) for label, _ in ours],
            mode="markers",
            marker={"color": look(index).colour, "size": 7, "opacity": 0.7},
            hovertemplate="%{customdata}<br>fitted %{x:.4g} ms, measured %{y:.4g} ms<extra></extra>",
        )
    if ends[1] > WIDE * ends[0] and min(predicted.values()) > 0:
        scale = {"type": "log", "tickvals": powers(ends, 7)}
        figure.update_layout(xaxis=scale, yaxis=scale)
    return figure


def _predicted(fit: LatencyFit, costs: Mapping[str, float]) -> float:
    features = {**costs, "sqrt_macs": sqrt(costs["macs"])}
    return float(fit.fitted.predict(features, extrapolate=True))


def _scores(model: LatencyModel) -> str:
    """Every predictor alone and all together, two columns a call and batch."""
    head = ["predicted by"]
    for fit in model.fits:
        name = cost_title(fit.quantity)[0]
        head += [f"{name}<br>median error, %", f"{name}<br>tau"]
    rows = []
    for scores in zip(*(fit.scores.scores for fit in model.fits), strict=True):
        together = len(scores[0].predictors) > 1
        name = "all together" if together else _PREDICTORS.get(scores[0].predictors[0], scores[0].predictors[0])
        rows.append([name, *(cell for score in scores for cell in (estimated(score.error, 1), estimated(score.tau)))])
    return table("Predictors of latency", head, rows)


def _contest(fit: LatencyFit) -> str:
    error, tau = fit.contest.error_difference, fit.contest.tau_difference
    verdict = (
        "predict better than MACs"
        if (error.high or 0.0) < 0
        else "predict worse than MACs"
        if (error.low or 0.0) > 0
        else "are not shown to predict better or worse than MACs"
    )
    return (
        f"{cost_title(fit.quantity)[0]}: activations {verdict}: median error {fit.contest.first.error.value:.1f} % "
        f"against {fit.contest.second.error.value:.1f} %, tau {fit.contest.first.tau.value:.2f} against "
        f"{fit.contest.second.tau.value:.2f} (a difference of {error.value:+.1f} points and {tau.value:+.2f}). Rounds "
        f"of one network differ by {fit.spread:.1f} %."
    )
