"""Whether two populations of networks differ: in distribution, in the mean, and among their best."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import msgspec
import numpy as np
import numpy.typing as npt

from dorsal.stats.bootstrap import (
    DRAWS,
    FEWEST_TO_RESAMPLE,
    drawn_means,
    order_bracket,
    percentile,
    permuted,
    resamples,
    start,
    studentised,
)
from dorsal.stats.checks import Numbers, check_quantiles, last_of_ties, measured
from dorsal.stats.interval import Array, Estimate, Need, check_confidence
from dorsal.stats.sample_size import need_for_mean

COMPARED_QUANTILES = (0.1, 0.5)


class Significance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A permutation p value, and the same adjusted by Holm (1979) for all tests of the comparison."""

    p: float
    adjusted_p: float


class Effect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`difference` of a statistic in error points, first population minus second. Negative means that the first is
    better.

    The interval is for this statistic alone. So it may exclude 0 while the adjusted p value is above 1 - confidence.
    `quantile` is None for the mean.
    """

    quantile: float | None
    difference: Estimate
    test: Significance


class PopulationComparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two populations. `networks` counts those with a result in each, `missing` those without.

    - `distance`: the largest difference of their distribution functions, 0 to 1.
    - `needed`: the number of networks in each that would show the observed difference of means with 80 % power, even as
      the last in Holm's order. None if that is not known (`need_for_mean`).
    """

    distance: float
    distance_test: Significance
    mean: Effect
    quantiles: tuple[Effect, ...]
    networks: tuple[int, int]
    missing: tuple[int, int]
    needed: Need | None
    confidence: float

    @property
    def shown(self) -> tuple[Effect, ...]:
        """The effects that are shown to differ: the mean alone if it does, else the quantiles that do."""
        level = 1 - self.confidence
        differ = tuple(effect for effect in (self.mean, *self.quantiles) if effect.test.adjusted_p <= level)
        return differ[:1] if self.mean in differ else differ


def compare_populations(
    a: Numbers,
    b: Numbers,
    *,
    quantiles: Sequence[float] = COMPARED_QUANTILES,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> PopulationComparison:
    """Compare the errors (percent, one for each network, None or NaN without a result) of two populations.

    All statistics are studentised before permuting (Janssen 1997; Chung and Romano 2013). So the test of the mean keeps
    its level for two spaces of equal mean and unequal spread, and the tests of quantiles do likewise; a plain
    permutation test does not. Measured levels, power and coverage: docs/statistics.md.

    The mean has no interval below FEWEST_TO_RESAMPLE networks, and if all errors of both are equal. A quantile has none
    if the extreme networks do not bracket it: below 36 networks for the lowest tenth.

    Raises ValueError for fewer than 2 networks with a result, infinite values, a quantile or confidence not between 0
    and 1, or fewer than 100 draws.
    """
    check_confidence(confidence)
    check_quantiles(quantiles)
    random = start(draws, seed)
    first, first_missing = measured(a, "a", fewest=2)
    second, second_missing = measured(b, "b", fewest=2)
    tests = _tests(first, second, quantiles, draws, random)
    differences = [
        _mean_difference(first, second, confidence, draws, random),
        *(_quantile_difference(first, second, quantile, confidence, draws, random) for quantile in quantiles),
    ]
    effects = [
        Effect(quantile=quantile, difference=difference, test=test)
        for quantile, difference, test in zip((None, *quantiles), differences, tests[1:], strict=True)
    ]
    strictest = 1 - (1 - confidence) / len(tests)
    return PopulationComparison(
        distance=float(_distances(*_pooled(first, second))[0]),
        distance_test=tests[0],
        mean=effects[0],
        quantiles=tuple(effects[1:]),
        networks=(first.size, second.size),
        missing=(first_missing, second_missing),
        needed=need_for_mean((first, second), differences[0].value, strictest),
        confidence=confidence,
    )


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values (Holm 1979), in the given order."""
    order = np.argsort(p, kind="stable")
    stepped = np.array(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(value) for value in adjusted]


def _tests(
    first: Array, second: Array, quantiles: Sequence[float], draws: int, random: np.random.Generator
) -> list[Significance]:
    """Tests of the distance, of the mean and of each quantile."""
    pool, labels = _pooled(first, second)
    # Results that differ only by rounding count as equal.
    observed = _statistics(pool, labels, quantiles) * (1 - 1e-9)
    exceeded = sum(
        (_statistics(pool, relabelled, quantiles) >= observed).sum(axis=0)
        for relabelled in permuted(labels[0], draws, random)
    )
    p = [float(value) for value in (1 + np.asarray(exceeded)) / (1 + draws)]
    return [Significance(p=value, adjusted_p=adjusted) for value, adjusted in zip(p, holm(p), strict=True)]


def _pooled(first: Array, second: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """All errors of both in rising order, and which of them belong to the first: [1, networks]."""
    pool = np.concatenate([first, second])
    order = np.argsort(pool, kind="stable")
    return pool[order], (order < first.size)[None]


def _statistics(pool: Array, labels: npt.NDArray[np.bool_], quantiles: Sequence[float]) -> Array:
    """Distance, |t| of the mean, and studentised |difference| of each quantile: [rows of labels, tests]."""
    rows = labels.shape[0]
    first = pool[np.nonzero(labels)[1]].reshape(rows, -1)
    second = pool[np.nonzero(~labels)[1]].reshape(rows, -1)
    error = np.sqrt(first.var(axis=1, ddof=1) / first.shape[1] + second.var(axis=1, ddof=1) / second.shape[1])
    columns = [_distances(pool, labels), _ratio(first.mean(axis=1) - second.mean(axis=1), error)]
    for quantile in quantiles:
        difference = _quantile(first, quantile) - _quantile(second, quantile)
        columns.append(_ratio(difference, np.hypot(_nearby(first, quantile), _nearby(second, quantile))))
    return np.stack(columns, axis=1)


def _distances(pool: Array, labels: npt.NDArray[np.bool_]) -> Array:
    """The Kolmogorov-Smirnov distance for each row of labels."""
    first = int(labels[0].sum())
    second = pool.size - first
    # Whole numbers, since rounding would break ties between permutations.
    steps = np.where(labels, second, -first).cumsum(axis=1)
    distances: Array = np.abs(steps[:, last_of_ties(pool)]).max(axis=1) / (first * second)
    return distances


def _ratio(difference: Array, error: Array) -> Array:
    """|difference| / error. 0 / 0 counts as 0."""
    size = np.abs(difference)
    return np.divide(size, error, out=np.where(size > 0, np.inf, 0.0), where=error > 0)


def _quantile(ordered: Array, quantile: float) -> Array:
    """The quantile of each ordered row, interpolated as NumPy does."""
    position = quantile * (ordered.shape[1] - 1)
    low = int(position)
    high = min(low + 1, ordered.shape[1] - 1)
    value: Array = ordered[:, low] + (position - low) * (ordered[:, high] - ordered[:, low])
    return value


def _nearby(ordered: Array, quantile: float) -> Array:
    """The width between two order statistics around the quantile, two standard errors of the share to each side, in
    each row.

    It is proportional to the quantile's standard error (Bloch and Gastwirth 1968).
    """
    n = ordered.shape[1]
    reach = 2 * sqrt(n * quantile * (1 - quantile))
    low, high = max(0, int(quantile * (n - 1) - reach)), min(n - 1, int(quantile * (n - 1) + reach) + 1)
    width: Array = ordered[:, high] - ordered[:, low]
    return width


def _mean_difference(
    first: Array, second: Array, confidence: float, draws: int, random: np.random.Generator
) -> Estimate:
    value = float(first.mean() - second.mean())
    if min(first.size, second.size) < FEWEST_TO_RESAMPLE:
        return Estimate(value=value, low=None, high=None)
    means_first, squares_first = drawn_means(first, draws, random)
    means_second, squares_second = drawn_means(second, draws, random)
    error = sqrt(first.var(ddof=1) / first.size + second.var(ddof=1) / second.size)
    drawn_errors = np.sqrt(squares_first + squares_second)
    return studentised(value, error, means_first - means_second, drawn_errors, confidence)


def _quantile_difference(
    first: Array, second: Array, quantile: float, confidence: float, draws: int, random: np.random.Generator
) -> Estimate:
    value = float(np.quantile(first, quantile) - np.quantile(second, quantile))
    if any(order_bracket(n, quantile, confidence) is None for n in (first.size, second.size)):
        return Estimate(value=value, low=None, high=None)
    drawn = drawn_quantile(first, quantile, draws, random) - drawn_quantile(second, quantile, draws, random)
    return percentile(value, drawn, confidence)


def drawn_quantile(values: Array, quantile: float, draws: int, random: np.random.Generator) -> Array:
    """The quantile of each bootstrap sample."""
    return np.concatenate([np.quantile(sample, quantile, axis=1) for sample in resamples(values, draws, random)])
