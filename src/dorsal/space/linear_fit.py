"""How near the widths of a network are to RegNet's quantised linear rule (arXiv 2003.13678 section 3.3, "e_fit")."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from dorsal.spec.network import Network

_QUANTUM = 8
_ROUNDS = 8
_KEPT = 4
"""The number of grid points for each w0 around which finer grids are laid. The error has many local minima."""

Floats = NDArray[np.float64]


class LinearFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The best rule found, and its `error`: the mean over blocks of |log(width by the rule / width)|.

    An error of 0.1 means widths that differ by about 10 %.
    """

    error: float
    w0: int
    wa: float
    wm: float


def linear_fit(network: Network) -> LinearFit:
    """The quantised linear rule that comes nearest to the widths of a network's blocks.

    A grid search as in the paper, over w0, wa and wm, with finer grids around the best points of each w0. The paper
    states neither its grid nor its ends. Here w0 are the multiples of 8 up to the widest block and to 512; wa is 0 and
    64 values on a logarithmic scale up to the widest block; wm has 48 values from 1.25 to 4. The error includes the
    rule's rounding to multiples of 8.
    """
    widths = np.repeat([stage.width for stage in network.stages], [stage.depth for stage in network.stages])
    observed = np.log(widths)
    widest = max(int(widths.max()), _QUANTUM)
    w0 = np.arange(_QUANTUM, min(widest, 512) + 1, _QUANTUM, dtype=np.float64)
    wa = np.concatenate([[0.0], np.geomspace(0.5, widest, 64)])
    wm = np.geomspace(1.25, 4, 48)
    best = _best(_grids(w0[:, None], wa[None], wm[None]), observed)
    steps, spread = np.linspace(-1, 1, 9), np.array([0.12, 0.025])
    for _ in range(_ROUNDS):
        around = [
            _grids(point[:, :1], point[:, 1:2] * (1 + spread[0] * steps), point[:, 2:] * (1 + spread[1] * steps))
            for point in best.swapaxes(0, 1)
        ]
        best = _best(np.concatenate([best, *around], axis=1), observed)
        spread = spread * 0.5
    errors = _errors(best[:, 0], observed)
    first = int(np.argmin(errors))
    return LinearFit(float(errors[first]), int(best[first, 0, 0]), float(best[first, 0, 1]), float(best[first, 0, 2]))


def _grids(w0: Floats, wa: Floats, wm: Floats) -> Floats:
    """For each row of w0, every pair of that row's wa and wm: (rows, pairs, 3)."""
    rows = len(w0)
    shape = (rows, wa.shape[1], wm.shape[1])
    columns = (w0[:, :, None], wa[:, :, None], wm[:, None, :])
    return np.stack([np.broadcast_to(column, shape).reshape(rows, -1) for column in columns], axis=2)


def _best(grids: Floats, observed: Floats) -> Floats:
    """The best points of each row's grid, best first: (rows, kept, 3)."""
    errors = np.stack([_errors(grid, observed) for grid in grids])
    order = np.argsort(errors, axis=1, kind="stable")[:, :_KEPT, None]
    return np.take_along_axis(grids, order, axis=1)


def _errors(grid: Floats, observed: Floats) -> Floats:
    w0, wa, wm = grid[:, :1], grid[:, 1:2], grid[:, 2:]
    steps = np.rint(np.log1p(wa / w0 * np.arange(len(observed))) / np.log(wm))
    widths = np.rint(w0 * wm**steps / _QUANTUM) * _QUANTUM
    errors: Floats = np.abs(np.log(widths) - observed).mean(axis=1)
    return errors
