"""Candidates: the networks behind points of a design space, with their costs. Many at once, as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from dorsal.space.check import reasons
from dorsal.space.compiled import CompiledSpace
from dorsal.space.costs import costs
from dorsal.space.encoding import Number, fill, is_by_stage, network_of
from dorsal.space.linear import linear_stages
from dorsal.space.points import Points
from dorsal.space.resolve import LINEAR
from dorsal.space.table import Column, Ints, Mask, StageColumns, Table
from dorsal.spec.network import Network

Predictor = Callable[[Mapping[str, Column]], NDArray[np.float64]]
"""Computes a quantity of many networks from their costs. NaN where it cannot be predicted."""


class Candidates(msgspec.Struct, frozen=True):
    """Networks with their costs.

    - `rows`: the indices of the points that are networks. `rejected` counts the other points by reason.
    - `table`: the leaves of the networks.
    - `costs`: one array of (networks,) for each quantity: those of `space.costs`, `image_size`, and the predicted ones.
    """

    compiled: CompiledSpace
    rows: Ints
    table: Table
    costs: dict[str, Column]
    rejected: dict[str, int]

    def __len__(self) -> int:
        return len(self.rows)

    def kept(self, wanted: Mask) -> Candidates:
        """Only the networks that `wanted` marks."""
        return replace(
            self,
            rows=self.rows[wanted],
            table=_only(self.table, wanted),
            costs={name: column[wanted] for name, column in self.costs.items()},
        )

    def network(self, row: int) -> Network:
        """The network of one row."""

        def leaf(path: str, stage: int) -> Number:
            column = StageColumns(self.table, stage)[path]
            found: Number = column[row if len(column) > 1 else 0].item()
            return found

        stages = sum(leaf("depths", stage) > 0 for stage in range(self.compiled.stages))
        return network_of(leaf, stages)

    def keys(self) -> list[bytes]:
        """A key in bytes for each row. Two rows have the same key exactly if network and image size are equal."""
        shape = (len(self), self.compiled.stages)
        exists = np.broadcast_to(self.table["depths"], shape) > 0
        columns = [
            np.where(exists, self.table[leaf], 0)
            if is_by_stage(leaf)
            else np.broadcast_to(self.table[leaf], (len(self), 1))
            for leaf in self.compiled.varied
        ]
        return [row.tobytes() for row in np.concatenate(columns, axis=1, dtype=np.float64)]


def evaluate(compiled: CompiledSpace, points: Points, predicted: Mapping[str, Predictor] | None = None) -> Candidates:
    """The points that are networks, with their costs. `predicted` adds quantities computed from the costs."""
    networks = realise(compiled, points)
    found = costs(networks.table, len(networks), compiled.stages)
    found["image_size"] = np.broadcast_to(networks.table["image_size"][:, 0], len(networks))
    found |= {name: predict(found) for name, predict in (predicted or {}).items()}
    return replace(networks, costs=found)


def realise(compiled: CompiledSpace, points: Points) -> Candidates:
    """The points that are networks, with empty `costs`."""
    total = len(next(iter(points.values())))
    rejected: dict[str, int] = {}
    rows: Ints = np.arange(total)
    ruled: Table = {}
    if (rule := compiled.linear) is not None:
        depth, w0, wa, wm = (compiled.axes[name].lookup[name][points[name][:, 0]] for name in LINEAR)
        rows, ruled["depths"], ruled["widths"] = linear_stages(depth, w0, wa, wm, rule.stages, rule.quantum)
        if len(rows) < total:
            rejected["the linear rule gives another number of stages"] = total - len(rows)
            points = {name: column[rows] for name, column in points.items()}
    table = {**_leaves(compiled, points), **ruled}
    if "stages" in points:
        counts = compiled.axes["stages"].lookup["stages"][points["stages"]]
        table["depths"] = np.where(np.arange(compiled.stages) < counts, table["depths"], 0)
    if compiled.fits_groups:
        _fit_groups(table, compiled.stages)
    first, texts = reasons(table, len(rows), compiled.stages)
    if texts:
        times = np.bincount(first[first >= 0], minlength=len(texts)).tolist()
        rejected |= {text: count for text, count in zip(texts, times, strict=True) if count}
        rows, table = rows[first < 0], _only(table, first < 0)
    return Candidates(compiled, rows, table, {}, rejected)


def _only(table: Table, wanted: Mask) -> Table:
    return {leaf: column[wanted] if len(column) == len(wanted) else column for leaf, column in table.items()}


def _leaves(compiled: CompiledSpace, points: Points) -> Table:
    """The leaves of the base network, changed as the axes say."""
    table = dict(compiled.base)
    for name, axis in compiled.axes.items():
        index = points[name]
        everywhere = bool((index >= 0).all())
        for leaf, values in axis.lookup.items():
            if leaf in LINEAR or leaf == "stages":
                continue
            found: Column = values[index]
            table[leaf] = found if everywhere else np.where(index >= 0, found, table.get(leaf, fill(leaf)))
    return table


def _fit_groups(table: Table, stages: int) -> None:
    """Moves widths and group widths until they fit each other (pycls `adjust_block_compatibility`).

    The group width becomes at most the inner width. The inner width moves to the nearest multiple of the group width,
    halves to even. If the inner width is the larger one (an inverted bottleneck), the multiple is of the least common
    multiple of group width and inner width / width.
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
