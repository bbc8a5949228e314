"""Points of a design space: drawn as arrays, and made into a table of the networks they stand for.

A point is an index into the values of each axis, (rows, 1) or (rows, stages); -1 where an axis is not drawn because its
condition does not hold or because there is no such stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dorsal.space.check import reasons
from dorsal.space.compiled import CompiledSpace
from dorsal.space.encoding import Number, fill, is_by_stage, network_of
from dorsal.space.linear import linear_stages
from dorsal.space.resolve import LINEAR
from dorsal.space.table import Column, Ints, StageColumns, Table
from dorsal.spec.network import Network

Points = dict[str, NDArray[np.int32]]


def draw_points(layout: CompiledSpace, rows: int, random: np.random.Generator) -> Points:
    """Independent draws from the space's axes, given that non-decreasing ones do not fall."""
    rising = {name: _tails(layout.axes[name].probabilities, layout.stages) for name in layout.non_decreasing}

    def draw(name: str, columns: int, counts: Ints) -> Column:
        if name in rising:
            return _non_decreasing(rising[name], counts, columns, random)
        probabilities = layout.axes[name].probabilities
        if name == "stages":  # sequences of more stages fall more often
            kept = [prod(tails[stages][-1] for tails in rising.values()) for stages in layout.axes[name].values]
            probabilities = probabilities * kept / np.sum(probabilities * kept)
        return _inverse(np.cumsum(probabilities), random.random((rows, columns)))

    return chosen_points(layout, rows, draw)


def chosen_points(layout: CompiledSpace, rows: int, choose: Callable[[str, int, Ints], Column]) -> Points:
    """Points of which `choose(axis, columns, stages)` says each index, (rows, columns), wherever the axis is drawn and
    does not equal another; `stages` are those of each point, (rows,)."""
    points: Points = {}
    counts = np.full(rows, layout.stages)
    for name, axis in layout.axes.items():
        columns = layout.stages if axis.by_stage else 1
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


def values_of(layout: CompiledSpace, points: Points) -> dict[str, list[Any]]:
    """By axis the drawn values as written: numbers or text, None where not drawn; a list for an axis by stage."""
    columns = {}
    for name, axis in layout.axes.items():
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


class Candidates:
    """The networks of points: `rows` are those points that are networks, `table` their leaves, and `rejected` counts
    the others by reason."""

    def __init__(self, layout: CompiledSpace, points: Points) -> None:
        self.layout = layout
        total = len(next(iter(points.values())))
        self.rejected: Counter[str] = Counter()
        self.rows: Ints = np.arange(total)
        depths = widths = None
        if (rule := layout.linear) is not None:
            depth, w0, wa, wm = (layout.axes[name].lookup[name][points[name][:, 0]] for name in LINEAR)
            self.rows, depths, widths = linear_stages(depth, w0, wa, wm, rule.stages, rule.quantum)
            if len(self.rows) < total:
                self.rejected["the linear rule gives another number of stages"] = total - len(self.rows)
                points = {name: column[self.rows] for name, column in points.items()}
        self.table = _leaves(layout, points)
        if depths is not None and widths is not None:
            self.table["depths"], self.table["widths"] = depths, widths
        if "stages" in points:
            counts = layout.axes["stages"].lookup["stages"][points["stages"]]
            self.table["depths"] = np.where(np.arange(layout.stages) < counts, self.table["depths"], 0)
        if layout.fits_groups:
            _fit_groups(self.table, layout.stages)
        first, texts = reasons(self.table, len(self.rows), layout.stages)
        if texts:
            times = np.bincount(first[first >= 0], minlength=len(texts)).tolist()
            self.rejected.update({text: count for text, count in zip(texts, times, strict=True) if count})
            self.keep(first < 0)

    def keep(self, wanted: NDArray[np.bool_]) -> None:
        """Leaves only these of the networks."""
        self.rows = self.rows[wanted]
        self.table = {
            leaf: column[wanted] if len(column) == len(wanted) else column for leaf, column in self.table.items()
        }

    def network(self, row: int) -> Network:
        """The network of one row."""

        def leaf(path: str, stage: int) -> Number:
            column = StageColumns(self.table, stage)[path]
            found: Number = column[row if len(column) > 1 else 0].item()
            return found

        stages = sum(leaf("depths", stage) > 0 for stage in range(self.layout.stages))
        return network_of(leaf, stages)

    def keys(self) -> list[bytes]:
        """For each row bytes that it shares with the same network at the same image size, and with no other."""
        shape = (len(self.rows), self.layout.stages)
        exists = np.broadcast_to(self.table["depths"], shape) > 0
        columns = [
            np.where(exists, self.table[leaf], 0)
            if is_by_stage(leaf)
            else np.broadcast_to(self.table[leaf], (len(self.rows), 1))
            for leaf in self.layout.varied
        ]
        return [row.tobytes() for row in np.concatenate(columns, axis=1, dtype=np.float64)]


def _leaves(layout: CompiledSpace, points: Points) -> Table:
    """The base network's leaves, with what the axes set in place."""
    table = dict(layout.base)
    for name, axis in layout.axes.items():
        index = points[name]
        everywhere = bool((index >= 0).all())
        for leaf, values in axis.lookup.items():
            if leaf in LINEAR or leaf == "stages":
                continue
            found: Column = values[index]
            table[leaf] = found if everywhere else np.where(index >= 0, found, table.get(leaf, fill(leaf)))
    return table


def _fit_groups(table: Table, stages: int) -> None:
    """Moves widths and group widths to fit each other (pycls `adjust_block_compatibility`).

    The group width is at most the inner width, which moves to the nearest multiple of it (halves to even); where the
    inner width is the wider one, of the least common multiple with how many times it is wider.
    """
    if not np.any(table.get("mixer.group_width", 0)):
        return
    widths, fitted = [], []
    for stage in range(stages):
        columns = StageColumns(table, stage)
        width, group_width = columns["widths"], columns["mixer.group_width"]
        expansion = np.where(columns.says("block", "basic"), 1, columns["expansion"])
        whole = np.maximum(expansion, 1).astype(np.int64)
        inverse = np.rint(1 / np.minimum(expansion, 1)).astype(np.int64)
        inner = np.maximum(width * inverse // whole, 1)
        group = np.maximum(np.minimum(group_width, inner), 1)
        unit = np.lcm(group, inverse)
        fitting = np.maximum(unit, np.rint(inner / unit).astype(np.int64) * unit)
        fits = columns.says("mixer", "conv") & (group_width > 0) & (columns["depths"] > 0)
        widths.append(np.where(fits, fitting * whole // inverse, width))
        fitted.append(np.where(fits, group, group_width))
    table["widths"] = np.stack(np.broadcast_arrays(*widths), axis=1)
    table["mixer.group_width"] = np.stack(np.broadcast_arrays(*fitted), axis=1)
