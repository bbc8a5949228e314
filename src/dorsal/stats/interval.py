"""The mean of one arm over its seeds, with Student's interval."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mean over `n` seeds, in the unit of the values.

    `sd` is the sample standard deviation (n - 1). `low`, `high` and `sd` are None for one seed, which says
    nothing about spread.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    sd: float | None


def mean_interval(values: Sequence[float | None], confidence: float = 0.95) -> Interval:
    """Student's t interval for the mean over seeds, taken as independent and roughly normal.

    None or NaN marks a seed without a result and is left out; `n` counts the rest. Identical values give an
    interval of zero width, which is what the formula says, not evidence that the noise is zero.

    Raises ValueError if no value is left, if one is infinite, or if confidence is not between 0 and 1.
    """
    check_confidence(confidence)
    results = as_results(values, "values")
    results = results[~np.isnan(results)]
    n = results.size
    if n == 0:
        raise ValueError("values holds no result: at least one finite number is needed")
    mean = float(results.mean())
    if n == 1:
        return Interval(mean=mean, low=None, high=None, n=1, sd=None)
    sd = float(results.std(ddof=1))
    half_width = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * sd / n**0.5
    return Interval(mean=mean, low=mean - half_width, high=mean + half_width, n=n, sd=sd)


def as_results(values: npt.ArrayLike | Sequence[float | None], field: str) -> Array:
    """`values` as floats, None becoming NaN; ValueError naming `field` if ragged, infinite or not numbers."""
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
