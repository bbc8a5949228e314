"""RegNet's quantised linear rule over arrays. Its slow twin is `spec.widths.regnet_stages`."""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

from dorsal.space.table import Column, Ints
from dorsal.spec.widths import regnet_stages

_NEAR_TIE = 1e-6
"""Values this near to a half are rounded by the slow twin: the logarithms of NumPy and libm may differ in the
last bit.
"""


def linear_stages(
    depth: Column, w0: Column, wa: Column, wm: Column, stages: tuple[int, int], quantum: int
) -> tuple[Ints, Ints, Ints]:
    """The indices of the rows with a legal number of stages, and the depths and widths of those rows: (kept, most
    stages).

    Legal is what pycls accepts: as many distinct widths as steps of the rule, and a number of stages in `stages`.
    Stages that a row does not have are of depth and width 0.
    """
    low, high = stages
    step = np.log((w0 + wa * (depth - 1)) / w0) / np.log(wm)
    likely = np.rint(step)
    rows = np.flatnonzero((_near_half(step) | ((likely >= low - 1) & (likely <= high - 1))) & (likely <= high))
    depth, w0, wa, wm = depth[rows], w0[rows], wa[rows], wm[rows]
    blocks = np.arange(depth.max(initial=0))
    step = np.log((w0[:, None] + wa[:, None] * blocks) / w0[:, None]) / np.log(wm)[:, None]
    exists = blocks < depth[:, None]
    steps = np.where(exists, np.rint(step), -1)
    depths = np.stack([(steps == index).sum(axis=1) for index in range(high)], axis=1)
    ideal = w0[:, None] * wm[:, None] ** np.arange(high) / quantum
    widths = np.rint(ideal).astype(np.int64) * quantum * (depths > 0)
    count = (depths > 0).sum(axis=1)
    most = steps.max(axis=1, initial=-1) + 1
    rising = np.diff(widths, axis=1) > 0
    within = np.arange(1, high) < count[:, None]
    legal = (count == most) & (low <= count) & (rising | ~within).all(axis=1)
    unsure = (_near_half(step) & exists).any(axis=1) | (_near_half(ideal) & (depths > 0)).any(axis=1)
    for row in np.flatnonzero(unsure):
        exact = _exact(int(depth[row]), int(w0[row]), float(wa[row]), float(wm[row]), stages, quantum)
        legal[row] = exact is not None
        if exact is not None:
            widths[row], depths[row] = exact
    return rows[legal], depths[legal], widths[legal]


def _near_half(value: NDArray[np.float64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.abs(value - np.floor(value) - 0.5) < _NEAR_TIE
    return found


def _exact(
    depth: int, w0: int, wa: float, wm: float, stages: tuple[int, int], quantum: int
) -> tuple[list[int], list[int]] | None:
    """Widths and depths of one row, padded with zeros. None if the number of stages is not legal."""
    widths, depths = regnet_stages(w0, wa, wm, depth, quantum)
    steps = round(log((w0 + wa * (depth - 1)) / w0) / log(wm)) + 1
    if steps != len(widths) or not stages[0] <= steps <= stages[1]:
        return None
    missing = [0] * (stages[1] - steps)
    return [*widths, *missing], [*depths, *missing]
