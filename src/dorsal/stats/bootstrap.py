"""Resampling of networks: the basis of all intervals of populations.

Every function takes its random state, so equal data give equal intervals.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from scipy.stats import binom

from dorsal.stats.interval import Array, Estimate

Scalar = TypeVar("Scalar", bound=np.generic)

DRAWS = 10_000
# With fewer values the bootstrap distribution of a mean is too coarse for an interval.
FEWEST_TO_RESAMPLE = 6
# Most numbers in memory at a time: 32 MB.
BLOCK = 4_000_000


def start(draws: int, seed: int) -> np.random.Generator:
    """The random state for `draws` draws. ValueError if they are too few for the tails of an interval."""
    if draws < 100:
        raise ValueError(f"draws={draws} is too few for the tails of an interval: at least 100, better {DRAWS}")
    return np.random.default_rng(seed)


def blocks(draws: int, width: int) -> Iterator[int]:
    """Row counts that add up to `draws`. Each block of rows of `width` numbers fits into memory."""
    rows = max(1, BLOCK // width)
    for done in range(0, draws, rows):
        yield min(rows, draws - done)


def resamples(values: npt.NDArray[Scalar], draws: int, random: np.random.Generator) -> Iterator[npt.NDArray[Scalar]]:
    """Bootstrap samples of `values` [n] with replacement, in blocks of [rows, n]."""
    for rows in blocks(draws, values.size):
        yield values[random.integers(0, values.size, (rows, values.size))]


def multiplicities(n: int, draws: int, random: np.random.Generator) -> Array:
    """How often each of `n` networks is in each bootstrap sample: [draws, n]."""
    return random.multinomial(n, np.full(n, 1 / n), draws).astype(np.float64)


def members(counts: Array) -> npt.NDArray[np.intp]:
    """The networks in each sample, [samples, n], from the counts of each network. Every sample has n networks."""
    samples, n = counts.shape
    return np.repeat(np.tile(np.arange(n), samples), counts.ravel().astype(np.intp)).reshape(samples, n)


def percentile(value: float, drawn: Array, confidence: float) -> Estimate:
    """Percentile interval (Efron 1979) from draws of the estimate. NaN draws are left out."""
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value=value, low=float(low), high=float(high))


def studentised(value: float, error: float, drawn: Array, drawn_errors: Array, confidence: float) -> Estimate:
    """Bootstrap-t interval (Efron 1981) from draws of the estimate and of its standard error.

    A draw without spread has an infinite t, positive or negative as the draw is above or below the value. This can make
    an end of the interval infinite, for example if most networks are stuck at one error. Then both ends are Student's,
    with the degrees of freedom of the drawn variances (Satterthwaite 1946). Data without spread have no interval.
    """
    if error == 0 or np.ptp(drawn) == 0:
        return Estimate(value=value, low=None, high=None)
    spreadless = np.where(drawn == value, 0.0, np.copysign(np.inf, drawn - value))
    t = np.divide(drawn - value, drawn_errors, out=spreadless, where=drawn_errors > 1e-9 * error)
    low, high = np.quantile(t, [(1 - confidence) / 2, (1 + confidence) / 2], method="nearest")
    if np.isinf([low, high]).any():
        variances = drawn_errors**2
        high = stdtrit(2 * variances.mean() ** 2 / variances.var(), (1 + confidence) / 2)
        low = -high
    return Estimate(value=value, low=value - float(high) * error, high=value - float(low) * error)


def drawn_means(values: Array, draws: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Means of bootstrap samples, and the squares of their standard errors."""
    means, squares = [], []
    for sample in resamples(values, draws, random):
        means.append(sample.mean(axis=1))
        squares.append(sample.var(axis=1, ddof=1) / values.size)
    return np.concatenate(means), np.concatenate(squares)


def mean_estimate(values: Array, confidence: float, draws: int, random: np.random.Generator) -> Estimate:
    """The mean with its bootstrap-t interval. No interval below FEWEST_TO_RESAMPLE values.

    It also covers if most values are equal: docs/statistics.md.
    """
    mean = float(values.mean())
    if values.size < FEWEST_TO_RESAMPLE:
        return Estimate(value=mean, low=None, high=None)
    means, squares = drawn_means(values, draws, random)
    return studentised(mean, float(values.std(ddof=1)) / sqrt(values.size), means, np.sqrt(squares), confidence)


def quantile_estimate(values: Array, share: float, confidence: float) -> Estimate:
    """The quantile, with an interval between order statistics that covers it at least with probability `confidence`.

    There is no interval if even the extreme values miss the quantile too often: below 36 values for the 10 % quantile
    at 95 %.
    """
    ordered = np.sort(values)
    value = float(np.quantile(ordered, share))
    bracket = order_bracket(values.size, share, confidence)
    if bracket is None:
        return Estimate(value=value, low=None, high=None)
    return Estimate(value=value, low=float(ordered[bracket[0]]), high=float(ordered[bracket[1]]))


def order_bracket(n: int, share: float, confidence: float) -> tuple[int, int] | None:
    """Indices of the two order statistics of `n` values that bracket a quantile. None if no two do."""
    low = int(binom.ppf((1 - confidence) / 2, n, share)) - 1
    high = int(binom.ppf((1 + confidence) / 2, n, share))
    return (low, high) if low >= 0 and high < n else None


def permuted(values: npt.NDArray[Scalar], draws: int, random: np.random.Generator) -> Iterator[npt.NDArray[Scalar]]:
    """Permutations of `values` [n], in blocks of [rows, n]."""
    for rows in blocks(draws, values.size):
        yield random.permuted(np.tile(values, (rows, 1)), axis=1)
