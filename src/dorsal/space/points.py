"""Points of a design space, drawn as arrays.

A point is an index into the values of each axis, (rows, 1) or (rows, stages). It is -1 where an axis is not drawn: its
condition does not hold, or there is no such stage.
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
    """Independent draws of the space's axes, conditional on the non-decreasing ones not falling."""
    rising = {name: _tails(compiled.axes[name].probabilities, compiled.stages) for name in compiled.non_decreasing}

    def draw(name: str, columns: int, counts: Ints) -> Column:
        if name in rising:
            return _non_decreasing(rising[name], counts, columns, random)
        probabilities = compiled.axes[name].probabilities
        if name == "stages":  # sequences of more stages fall more often, so they are rarer
            kept = [prod(tails[stages][-1] for tails in rising.values()) for stages in compiled.axes[name].values]
            probabilities = probabilities * kept / np.sum(probabilities * kept)
        return _inverse(np.cumsum(probabilities), random.random((rows, columns)))

    return chosen_points(compiled, rows, draw)


def chosen_points(compiled: CompiledSpace, rows: int, choose: Callable[[str, int, Ints], Column]) -> Points:
    """Points whose indices come from `choose(axis, columns, stages)`, (rows, columns), where `stages` is (rows,).

    An index is used where the axis is drawn and does not equal another axis.
    """
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
    """The drawn values of each axis as written: numbers or text, None where not drawn, a list for an axis by stage."""
    columns = {}
    for name, axis in compiled.axes.items():
        rows = np.array([*axis.written, None], dtype=object)[points[name]].tolist()  # -1, not drawn, picks the last
        columns[name] = rows if axis.by_stage else [row[0] for row in rows]
    return columns


def _inverse(cumulative: NDArray[np.float64], uniform: NDArray[np.float64]) -> Ints:
    """Indices of the values at these places, 0 to 1, of the distribution."""
    return np.minimum(np.searchsorted(cumulative, uniform, side="right"), len(cumulative) - 1)


def _tails(probabilities: NDArray[np.float64], longest: int) -> list[NDArray[np.float64]]:
    """`tails[n][v]`: the probability that n independent draws are non-decreasing and start at value v or earlier.

    So `tails[n][-1]` is the probability that n draws are non-decreasing. A sequence that starts at value v has the
    weight p(v) times the weight of all sequences of n - 1 draws that start at v or later.
    """
    tails = [np.zeros(len(probabilities))]
    weights = np.ones(len(probabilities))
    for _ in range(longest):
        tails.append(np.cumsum(weights * probabilities))
        weights = tails[-1][-1] - np.concatenate([[0.0], tails[-1][:-1]])
    return tails


def _non_decreasing(tails: list[NDArray[np.float64]], counts: Ints, columns: int, random: np.random.Generator) -> Ints:
    """Non-decreasing sequences of `counts` values. Each value is drawn by the `_tails` of the remaining length."""
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
