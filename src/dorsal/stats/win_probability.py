"""How probable it is that one run of an arm beats one run of another."""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr

from dorsal.stats.interval import Array, Estimate, as_results, check_confidence

# Beyond it the probability is 0 or 1 to what an interval on few seeds can tell.
_LARGEST_T = 100.0
_NODES = (np.arange(500) + 0.5) / 500


def win_probability(
    first: Sequence[float | None],
    second: Sequence[float | None],
    *,
    paired: bool = True,
    confidence: float = 0.95,
    overlap: float = 0.0,
) -> Estimate:
    """The probability, 0 to 1, that one run of `first` scores higher than one run of `second`, with its interval.

    `paired`: entry i of both is the same seed, and the probability is that of two runs with one seed. Seeds at which
    either has no result (None or NaN) are left out. Otherwise two runs with seeds of their own are meant.

    The differences of runs are taken as normal; the probability is then that of a standard normal below mean /
    deviation. For pairs the interval of this ratio, from the noncentral t distribution, is exact with as few as two
    seeds, however unequal the noise of the arms. The value is the one that is as often too high as too low. For
    unpaired runs the degrees of freedom are Welch's (1938). The interval is of this pair alone. `overlap` is as in
    `stats.compare_arms`; pairs are then worth fewer.

    Without two results, or without noise, there is no interval, and the value is the share of wins; half a win for
    equal scores.

    Sources: Bouthillier et al. (2021), "Accounting for variance in machine learning benchmarks"; Johnson and Welch
    (1940), "Applications of the non-central t-distribution". Measured coverage: docs/statistics.md.

    Raises ValueError for paired lists of unequal length, lists without a result, infinite values, or a confidence not
    between 0 and 1.
    """
    check_confidence(confidence)
    a, b = as_results(first, "first"), as_results(second, "second")
    if paired:
        if a.size != b.size:
            raise ValueError(f"first and second hold {a.size} and {b.size} results: pairs need one a seed in both")
        differences = (a - b)[~np.isnan(a - b)]
        gaps, freedom, spread = differences, differences.size - 1.0, _deviation(differences)
        n = 1 / (1 / max(differences.size, 1) + overlap)
    else:
        a, b = a[~np.isnan(a)], b[~np.isnan(b)]
        gaps = np.subtract.outer(a, b).ravel()
        n, freedom, spread = _welch(a, b)
    if not gaps.size:
        raise ValueError("first and second have no seed in common" if paired else "first or second has no result")
    if freedom <= 0 or spread <= 1e-13 * float(np.abs(gaps).max()) or spread == 0:
        return Estimate(value=float(((gaps > 0) + 0.5 * (gaps == 0)).mean()), low=None, high=None)
    t = float(gaps.mean()) / spread * sqrt(n)
    t = copysign(min(abs(t), _LARGEST_T), t)
    spreads = np.sqrt(chdtri(freedom, _NODES) / freedom)
    low, value, high = (
        float(ndtr(_shift(t * spreads, share) / sqrt(n))) for share in ((1 + confidence) / 2, 0.5, (1 - confidence) / 2)
    )
    return Estimate(value=value, low=low, high=high)


def _shift(scaled: Array, share: float) -> float:
    """The noncentrality at which a t statistic falls below the observed one with probability `share`.

    `scaled`: the observed t in units of its mean, for each of equally probable estimates of the deviation.
    """
    ends = float(scaled.min()) - 10, float(scaled.max()) + 10
    return float(brentq(lambda shift: float(ndtr(scaled - shift).mean()) - share, *ends, xtol=1e-6))


def _deviation(values: Array) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else 0.0


def _welch(a: Array, b: Array) -> tuple[float, float, float]:
    """How many pairs the runs are worth, Welch's degrees of freedom, and the deviation of one difference."""
    if a.size < 2 or b.size < 2:
        return 1, 0, 0.0
    first, second = float(a.var(ddof=1)), float(b.var(ddof=1))
    error = first / a.size + second / b.size
    if error == 0:
        return 1, 0, 0.0
    # The ratio divides by first + second, so its degrees of freedom are those of that sum.
    freedom = (first + second) ** 2 / (first**2 / (a.size - 1) + second**2 / (b.size - 1))
    return (first + second) / error, freedom, sqrt(first + second)
