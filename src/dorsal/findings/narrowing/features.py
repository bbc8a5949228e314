"""Networks as a regression of their errors sees them, and samples of whole spaces for comparison. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dorsal.findings.narrowing.steps import ORDERED
from dorsal.findings.population.axis_findings import LOGARITHMIC
from dorsal.space.axis import Axis
from dorsal.space.bounds import read_bounds
from dorsal.space.candidates import evaluate
from dorsal.space.costs import QUANTITIES
from dorsal.space.distributions import Choice, EqualTo
from dorsal.space.points import draw_points, values_of
from dorsal.space.space import Space
from dorsal.spec.cost import COSTS
from dorsal.stats.interval import Array
from dorsal.study.population.records import SpaceSample

REFERENCE, FEWEST = 3_000, 100
"""Networks that stand for a space, so that mean features are known to a fiftieth of their spread, and the least."""
CHUNK, CHUNKS = 10_000, 50
"""Candidates drawn at a time, and how many times at most."""


class Networks(NamedTuple):
    """Networks of a space: the values drawn of each axis, and their `features`."""

    axes: Mapping[str, Sequence[Any]]
    features: Array


def sample_more(space: Space, drawn: SpaceSample, seed: int) -> Networks | None:
    """Independent draws from `space` within the bounds of the population `drawn`, of this space or of a wider one.

    None where hardly any meet the bounds, or these bound what only a latency model can predict.
    """
    if not set(drawn.sampling.bounds) <= set(QUANTITIES):
        return None
    compiled, bounds, random = space.compiled, read_bounds(drawn.sampling.bounds), np.random.default_rng(seed)
    axes: dict[str, list[Any]] = {name: [] for name in compiled.axes}
    found: dict[str, list[int]] = {name: [] for name in COSTS}
    for _ in range(CHUNKS):
        points = draw_points(compiled, CHUNK, random)
        networks = evaluate(compiled, points)
        fits = np.ones(len(networks), dtype=bool)
        for bound in bounds:
            fits &= bound.met_by(networks.costs[bound.quantity])
        kept = np.flatnonzero(fits)[: REFERENCE - len(found["macs"])]
        for name in COSTS:
            found[name] += networks.costs[name][kept].tolist()
        chosen = {name: column[networks.rows[kept]] for name, column in points.items()}
        for name, values in values_of(compiled, chosen).items():
            axes[name] += values
        if len(found["macs"]) == REFERENCE:
            break
    return Networks(axes, features(drawn.space, axes, found)) if len(found["macs"]) >= FEWEST else None


def features(space: Space, axes: Mapping[str, Sequence[Any]], costs: Mapping[str, Any]) -> Array:
    """A row a network: the logarithms of its costs, and of every axis of `space` what is drawn in each stage.

    `axes` holds the values drawn, by axis, of networks of this space or of a narrower one, where an axis may be shared
    by all stages or gone.
    """
    stages = space.compiled.stages
    columns = [np.log(np.asarray(costs[name], dtype=np.float64))[:, None] for name in COSTS]
    for name, axis in space.axes.items():
        if isinstance(axis.draw, EqualTo):
            continue
        rows = axes.get(name, [None] * len(columns[0]))
        by_stage = [each if isinstance(each, list) else [each] * (stages if axis.by_stage else 1) for each in rows]
        table = np.array(by_stage, dtype=object)
        if axis.by_stage and "stages" in axes:
            table[np.arange(stages) >= np.array(axes["stages"])[:, None]] = None
        columns.append(_columns(axis, table, ordered=name in ORDERED))
    return np.hstack(columns)


def _columns(axis: Axis, table: Any, ordered: bool) -> Array:
    """Regression columns of one axis.

    A choice: one indicator per value and stage. A number: per stage whether it is drawn and its (log) value, then the
    mean square. Last, a distance from the narrower space: total decrease along the stages for ordered axes,
    disagreement between stages for the others.
    """
    if isinstance(axis.draw, Choice):
        chosen = np.stack([table == value for value in axis.draw.values]).astype(np.float64)
        return np.column_stack([*chosen, (chosen.mean(axis=2) ** 2).sum(axis=0)])
    numbers = table.astype(np.float64)
    scaled = np.log(numbers) if isinstance(axis.draw, LOGARITHMIC) else numbers
    falls = np.nan_to_num(np.diff(scaled)).clip(max=0).sum(axis=1)
    places = np.nan_to_num(scaled)
    departure = falls if ordered else places.mean(axis=1) ** 2
    return np.column_stack([~np.isnan(numbers), places, (places**2).mean(axis=1), departure])
