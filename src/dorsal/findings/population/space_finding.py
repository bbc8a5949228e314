"""One space of a population: its errors, their distribution, its axes, and its distance from the linear rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dorsal.findings.population.axis_findings import axis_findings
from dorsal.findings.population.importance import importances
from dorsal.findings.population.records import (
    ErrorDistribution,
    Errors,
    LinearRule,
    NamedNetwork,
    SpaceFinding,
    counts_of,
)
from dorsal.jobs.records import Arm
from dorsal.jobs.results import Result
from dorsal.space.linear_fit import linear_fit
from dorsal.spec.network import Network
from dorsal.stats import edf, normalized_weights, pointwise_band, search_curve, simultaneous_band
from dorsal.stats.bootstrap import DRAWS, mean_estimate, multiplicities, percentile, quantile_estimate, start
from dorsal.stats.distribution import bin_of
from dorsal.stats.interval import Array, Estimate
from dorsal.stats.rank import sign_products, tau_b
from dorsal.stats.reliability import FEWEST_RANKED
from dorsal.study.population.records import SpaceSample

FITS = 60
COMPLEXITIES = ("macs", "params")
BINS = 10
"""The number of bins of a complexity: as many as NDS takes for ResNets (Radosavovic et al. 2019)."""


class Bins(NamedTuple):
    """The edges of the bins of a complexity, and which bins have networks of all spaces."""

    edges: list[float]
    shared: list[bool]


def complexity_bins(spaces: Sequence[SpaceSample], results: Mapping[str, Result]) -> dict[str, Bins]:
    """The bins of each complexity, from the finished networks of all spaces that have any."""
    bins = {}
    for name in COMPLEXITIES:
        levels = [
            [
                level
                for label, level in zip(drawn.labels, drawn.costs[name], strict=True)
                if results[label][1] is not None
            ]
            for drawn in spaces
        ]
        edges = np.histogram_bin_edges(np.concatenate(levels), BINS)
        counts = [np.bincount(bin_of(np.array(each), edges), minlength=BINS) for each in levels if each]
        bins[name] = Bins(edges.tolist(), np.all(counts, axis=0).tolist() if counts else [False] * BINS)
    return bins


def space_finding(
    drawn: SpaceSample,
    arms: Mapping[str, Arm],
    results: Mapping[str, Result],
    bins: Mapping[str, Bins],
    fits: int,
    resamples: int,
    confidence: float,
) -> SpaceFinding:
    """All that the networks of one space show. `arms` and `results` are by label, `bins` by complexity."""
    networks = [arms[label] for label in drawn.labels]
    statuses = tuple(results[label][0] for label in drawn.labels)
    errors = tuple(results[label][1] for label in drawn.labels)
    axes = axis_findings(drawn, networks, errors)
    return SpaceFinding(
        name=drawn.space.name,
        sampling=drawn.sampling,
        history=drawn.space.history,
        labels=drawn.labels,
        statuses=statuses,
        errors=errors,
        costs={name: tuple(column) for name, column in drawn.costs.items()},
        counts=counts_of(statuses),
        summary=_summary(drawn, errors, bins, confidence),
        axes=axes,
        importances=importances(axes, errors, resamples, confidence),
        linear_rule=_linear_rule(drawn, networks, errors, fits, confidence),
    )


def _summary(
    drawn: SpaceSample, errors: Sequence[float | None], bins: Mapping[str, Bins], confidence: float
) -> Errors | None:
    ranked = sorted(
        (error, row, label)
        for row, (error, label) in enumerate(zip(errors, drawn.labels, strict=True))
        if error is not None
    )
    if not ranked:
        return None
    results = np.array([error for error, _, _ in ranked])
    rows = [row for _, row, _ in ranked]
    by_complexity = {}
    for name, (edges, shared) in bins.items():
        levels = np.array([drawn.costs[name][row] for row in rows])
        comparable = np.array(shared)[bin_of(levels, edges)]
        if comparable.any():
            weights = normalized_weights(levels[comparable], edges)
            by_complexity[name] = _distribution(results[comparable], weights, confidence)
    best, middle, worst = (
        NamedNetwork(label=label, error=error)
        for error, _, label in (ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1])
    )
    return Errors(
        mean=mean_estimate(results, confidence, DRAWS, start(DRAWS, 0)),
        median=quantile_estimate(results, 0.5, confidence),
        best=best,
        middle=middle,
        worst=worst,
        distribution=_distribution(results, None, confidence),
        by_complexity=by_complexity,
        search=search_curve(results, _searches(len(results)), confidence=confidence) if len(results) > 1 else None,
    )


def _searches(networks: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, …: numbers common to populations of any size, and the number of all networks."""
    doubled = [start << times for times in range(networks.bit_length()) for start in (2, 3)]
    return sorted({1, networks, *(number for number in doubled if number < networks)})


def _distribution(errors: Array, weights: Array | None, confidence: float) -> ErrorDistribution:
    return ErrorDistribution(
        edf=edf(errors, weights),
        pointwise=pointwise_band(errors, weights, confidence),
        simultaneous=simultaneous_band(errors, weights, confidence),
    )


def _linear_rule(
    drawn: SpaceSample, arms: Sequence[Arm], errors: Sequence[float | None], max_fits: int, confidence: float
) -> LinearRule:
    """The fits of the first `max_fits` finished networks in the order drawn, so the choice does not depend on
    errors.
    """
    finished = [row for row, error in enumerate(errors) if error is not None]
    drawn_so = drawn.space.linear is not None
    fits: list[float | None] = [None] * len(arms)
    computed = []
    for row in [] if drawn_so else finished[:max_fits]:
        network = arms[row].network
        if isinstance(network, Network) and len(network.stages) > 1:
            fits[row] = linear_fit(network).error
            computed.append(row)
    return LinearRule(
        drawn=drawn_so,
        fits=tuple(fits),
        computed=len(computed),
        finished=len(finished),
        correlation=_correlation([fits[row] for row in computed], [errors[row] for row in computed], confidence),
    )


def _correlation(
    first: Sequence[float | None], second: Sequence[float | None], confidence: float, draws: int = 2_000
) -> Estimate | None:
    """Kendall's tau-b with its percentile interval over networks. None for too few networks, or if all are equal."""
    n = len(first)
    if n < FEWEST_RANKED:
        return None
    products = sign_products(np.array(first, dtype=np.float64), np.array(second, dtype=np.float64))
    taus = tau_b(products, np.vstack([np.ones(n), multiplicities(n, draws, start(draws, 0))]))
    return None if np.isnan(taus[0]) else percentile(float(taus[0]), taus[1:], confidence)
