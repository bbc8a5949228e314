"""Many networks as a table: one array for each leaf of the grammar, one row for each network."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from dorsal.space.encoding import fill, words_at
from dorsal.spec.block import Mixer, name_of

Column = NDArray[Any]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Table = dict[str, Column]
"""Leaf → array that broadcasts to (rows, stages), for example (1, 1) if all networks and stages agree. A stage of depth
0 does not exist in that network. The stages that exist come first.
"""


class StageColumns:
    """The leaves of one stage, as arrays of (rows,), or of (1,) if all rows agree. Network leaves are the same in all
    stages.
    """

    def __init__(self, table: Table, stage: int) -> None:
        self._table, self._stage = table, stage

    def __getitem__(self, path: str) -> Column:
        column = self._table.get(path)
        if column is None:
            return np.array([fill(path)])
        return column[:, self._stage if column.shape[1] > 1 else 0]

    def says(self, path: str, word: str) -> Mask:
        """Which rows have this word as the leaf."""
        found: Mask = self[path] == words_at(path).index(word)
        return found

    def stem_widths(self) -> list[Column]:
        """Channels of the stem's three convolutions. A stem with fewer repeats its last one."""
        three = self.says("stem", "deep") | self.says("stem", "dla")
        return [np.where(three, self[f"stem.widths.{index}"], self["stem.width"]) for index in range(3)]

    def planes(self, width: Column) -> Column:
        """Planes of the blocks (`spec.block.planes_of`), rounded down if the expansion does not divide the width."""
        expansion = np.where(self.says("block", "basic"), 1, self["expansion"])
        inverse = np.rint(1 / np.minimum(expansion, 1)).astype(np.int64)
        return np.where(expansion >= 1, width // np.maximum(expansion, 1).astype(np.int64), width * inverse)

    def inner_width(self, planes: Column) -> Column:
        """Channels inside a bottleneck (`spec.block.inner_width`)."""
        parts = np.ones(1, np.int64)
        for kind in get_args(Mixer):
            parts = np.where(self.says("mixer", name_of(kind)), self[f"mixer.{kind.parts}"], parts)
        base = self["mixer.width"]
        return np.where(base == 0, planes, planes * base // 64 * parts)


def shrink(side: Column, stride: Column | int) -> Column:
    """The output side of a padded convolution or pool: side / stride, rounded up."""
    found: Column = -(-side // stride)
    return found
