"""What every statistic returns: an estimate with its interval, and the number of runs that would show a difference."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

Array = npt.NDArray[np.float64]
_LEAST_FLOAT = float(np.finfo(np.float64).tiny)


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A value with its interval. `low` and `high` are None if the results are too few, or all equal."""

    value: float
    low: float | None
    high: float | None


class Need(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The number of runs or networks that would show a difference. None for more than the limit.

    `low` and `high` are the numbers at the ends of the 90 % interval of the spread, which itself is only estimated.
    """

    value: int | None
    low: int | None
    high: int | None


def share_at_least(successes: float, n: int, confidence: float = 0.95) -> float:
    """Lower end of the one-sided interval of a share, 0 to 1, by Clopper and Pearson (1934).

    `successes` of `n` need not be whole, for example as a mean over seeds. Raises ValueError for n below 1, a number of
    successes not from 0 to n, or a confidence not between 0 and 1.
    """
    check_confidence(confidence)
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes={successes:g} of n={n}: n must be at least 1, and successes from 0 to n")
    if successes < _LEAST_FLOAT:
        return 0.0
    low = float(betaincinv(successes, n - successes + 1, 1 - confidence))
    return low if low > _LEAST_FLOAT else 0.0  # that is what SciPy has for what is less than any float


def as_results(values: npt.ArrayLike | Sequence[float | None], field: str) -> Array:
    """`values` as floats, None as NaN. ValueError naming `field` if they are ragged, infinite or not numbers."""
    try:
        results = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field} must be numbers or None in a regular grid: {error}") from None
    if np.isinf(results).any():
        raise ValueError(f"{field} contains an infinite value: use None for a seed without a result")
    return results


def check_confidence(confidence: float) -> None:
    """Raise ValueError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        nearest = confidence / 100 if 1 < confidence < 100 else 0.95
        raise ValueError(f"confidence={confidence} must lie between 0 and 1, for example {nearest}")
