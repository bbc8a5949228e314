"""The measured latency of a population's networks, and how the fitted model predicts it. Pure; no torch."""

from __future__ import annotations

import msgspec
import numpy as np

from dorsal.findings.fronts import Front, front_of
from dorsal.findings.population.records import PopulationFindings
from dorsal.latency.records import (
    PREDICTING_COSTS,
    LatencyFit,
    LatencyModel,
    Measurements,
    TimedNetwork,
    predictor_columns,
)
from dorsal.study.population.records import PopulationStudy


class TimedFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The networks timed for one call and batch, with the median measured and the fit's prediction, both in ms."""

    fit: LatencyFit
    networks: tuple[TimedNetwork, ...]
    measured: tuple[float, ...]
    predicted: tuple[float, ...]


class LatencyFindings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was measured into the folder of a population.

    - `fits`: one for each call and batch of the model.
    - `times`: median milliseconds by quantity, then by label, for the networks that were timed at their image size.
    - `fronts`: error against each of these times.
    """

    model: LatencyModel
    fits: tuple[TimedFit, ...]
    times: dict[str, dict[str, float]]
    fronts: tuple[Front, ...]


def analyse_latency(
    population: PopulationStudy, found: PopulationFindings, model: LatencyModel, measured: Measurements
) -> LatencyFindings:
    """What the measured times say of the networks. `found` is the analysis of the population."""
    times = _times(population, measured)
    errors = {
        label: error
        for space in found.spaces
        for label, error in zip(space.labels, space.errors, strict=True)
        if error is not None
    }
    return LatencyFindings(
        model=model,
        fits=tuple(_fitted(fit, measured) for fit in model.fits),
        times=times,
        fronts=tuple(
            front_of(name, {label: (time, errors[label]) for label, time in by_label.items() if label in errors})
            for name, by_label in times.items()
        ),
    )


def _times(population: PopulationStudy, measured: Measurements) -> dict[str, dict[str, float]]:
    hashes = {arm.label: arm.network_hash for arm in population.study.arms}
    timed = {(each.network_hash, each.image_size): each for each in measured.networks}
    times: dict[str, dict[str, float]] = {}
    for drawn in population.spaces:
        for label, side in zip(drawn.labels, drawn.costs["image_size"], strict=True):
            if (found := timed.get((hashes[label], int(side)))) is not None:
                for name in measured.setting.quantities():
                    if quartiles := found.quartiles(name):
                        times.setdefault(name, {})[label] = quartiles[1]
    return times


def _fitted(fit: LatencyFit, measured: Measurements) -> TimedFit:
    timed = [(each, found[1]) for each in measured.networks if (found := each.quartiles(fit.quantity))]
    costs = {name: np.array([each.costs[name] for each, _ in timed]) for name in PREDICTING_COSTS}
    return TimedFit(
        fit=fit,
        networks=tuple(each for each, _ in timed),
        measured=tuple(time for _, time in timed),
        predicted=tuple(fit.fitted.predict(predictor_columns(costs), extrapolate=True).tolist()),
    )
