"""Points of a design space, drawn as arrays.

A point is an index into the values of each axis, (rows, 1) or (rows, stages); -1 where an axis is not drawn because its
condition does not hold or because there is no such stage.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dorsal.space.compiled import CompiledSpace
from dorsal.space.table import Column, Ints

Points = dict[str, NDArray[np.int32]]


def draw_points(compiled: CompiledSpace, rows: int, random: np.random.Generator) -> Points:
    """Independent draws from the space's axes, given that non-decreasing ones do not fall."""
    rising = {name: _tails(compiled.axes[name].probabilities, compiled.stages) for name in compiled.non_decreasing}

    def draw(name: str, columns: int, counts: Ints) -> Column:
        if name in rising:
            return _non_decreasing(rising[name], counts, columns, random)
        probabilities = compiled.axes[name].probabilities
        if name == "stages":  # sequences of more stages fall more often
            kept = [prod(tails[stages][-1] for tails in rising.values()) for stages in compiled.axes[name].values]
            probabilities = probabilities * kept / np.sum(probabilities * kept)
        return _inverse(np.cumsum(probabilities), random.random((rows, columns)))

    return chosen_points(compiled, rows, draw)


def chosen_points(compiled: CompiledSpace, rows: int, choose: Callable[[str, int, Ints], Column]) -> Points:
    """Points of which `choose(axis, columns, stages)` says each index, (rows, columns), wherever the axis is drawn and
    does not equal another; `stages` are those of each point, (rows,)."""
    points: Points = {}
    counts = np.full(rows, compiled.stages)
    for name, axis in compiled.axes.items():
        columns = compiled.stages if axis.by_stage else 1
        if axis.same is not None:
            index: Column = np.broadcast_to(points[axis.same], (rows, columns))
        else:
            index = choose(name, columns, counts)
        drawn = np.ones((rows, columns), bool)
        if axis.by_stage:
            drawn &= np.arange(columns) < counts[:, None]
        for parent, allowed in axis.allowed.items():
            drawn &= allowed[points[parent]] & (points[parent] >= 0)
        points[name] = np.where(drawn, index, -1).astype(np.int32)
        if name == "stages":
            counts = axis.lookup[name][points[name][:, 0]]
    return points


def values_of(compiled: CompiledSpace, points: Points) -> dict[str, list[Any]]:
    """By axis the drawn values as written: numbers or text, None where not drawn; a list for an axis by stage."""
    columns = {}
    for name, axis in compiled.axes.items():
        rows = np.array([*axis.written, None], dtype=object)[points[name]].tolist()  # not drawn is -1, the last
        columns[name] = rows if axis.by_stage else [row[0] for row in rows]
    return columns


def _inverse(cumulative: NDArray[np.float64], uniform: NDArray[np.float64]) -> Ints:
    """Indices of the values at these places, 0 to 1, of the distribution."""
    return np.minimum(np.searchsorted(cumulative, uniform, side="right"), len(cumulative) - 1)


def _tails(probabilities: NDArray[np.float64], longest: int) -> list[NDArray[np.float64]]:
    """For each length n up to the longest the probability, in the product distribution, that a sequence does not fall
    and begins with this value or an earlier one; the last entry is that of all sequences that do not fall.

    The weight of those that begin with value v is p(v) times the weight of all sequences of n - 1 that begin with v or
    later.
    """
    tails = [np.zeros(len(probabilities))]
    weights = np.ones(len(probabilities))
    for _ in range(longest):
        tails.append(np.cumsum(weights * probabilities))
        weights = tails[-1][-1] - np.concatenate([[0.0], tails[-1][:-1]])
    return tails


def _non_decreasing(tails: list[NDArray[np.float64]], counts: Ints, columns: int, random: np.random.Generator) -> Ints:
    """Sequences of `counts` values that do not fall, each value drawn by the `_tails` of what is left."""
    uniform = random.random((len(counts), columns))
    index = np.zeros((len(counts), columns), np.int64)
    before = np.zeros(len(counts), np.int64)
    for stage in range(columns):
        for left in np.unique(counts - stage):
            if left < 1:
                continue
            rows = np.flatnonzero(counts - stage == left)
            sums = np.concatenate([[0.0], tails[left]])
            start = sums[before[rows]]
            target = start + uniform[rows, stage] * (sums[-1] - start)
            before[rows] = np.maximum(_inverse(tails[left], target), before[rows])
        index[:, stage] = before
    return index
