"""Whether two populations of networks differ: in distribution, in the mean, and among their best."""

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
    """Permutation p value, alone and adjusted by Holm (1979) for all tests of the comparison."""

    p: float
    adjusted_p: float


class Effect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`difference` of a statistic in error points, first population minus second: negative, the first is better.

    The interval is for this statistic alone, so it may exclude 0 where the adjusted p value is above
    1 - confidence. `quantile` is None for the mean.
    """

    quantile: float | None
    difference: Estimate
    test: Significance


class PopulationComparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two populations of `networks` with a result, `missing` without.

    `distance` is the largest difference of their distribution functions, 0 to 1. `needed` networks in
    each would show the observed difference of means with 80 % power, even if it came last in Holm's order; None where
    that cannot be known (`need_for_mean`).
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
        """What is shown to differ, of what orders the populations: the mean, or else those quantiles that do."""
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
    """Compare the errors (percent, one a network, None or NaN without result) of two populations.

    All statistics are studentised before permuting (Janssen 1997; Chung and Romano 2013). So the test of the
    mean keeps its level where two spaces agree in the mean but not in spread, and likewise for quantiles;
    not so the plain permutation test, which found means different in 24 % of studies where they are equal,
    30 networks of standard deviation 3 against 120 of 1. Measured rates, studentised: 6 % there; 5 and 6 %
    for equal medians and equal lowest tenths of such populations, 200 networks against 60; 4 to 6 %
    where the populations are the same, and 3 to 4 % for any of the four tests after Holm. Power for a shift of
    half a standard deviation, 60 normal networks each: 80 % mean, 65 % median, 37 % lowest tenth.

    Measured coverage of intervals at a nominal 95 %: mean 94 to 95 %, quantiles 95 to 96 % (30 to 200
    networks of the same population). Below FEWEST_TO_RESAMPLE networks, and where the errors of
    both are all equal, the mean has no interval; a quantile has none where the extreme networks fail to bracket it
    (below 36 networks for the lowest
    tenth).

    Raises ValueError for fewer than 2 networks with a result, infinite values, a quantile or confidence not
    between 0 and 1, or fewer than 100 draws.
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
    """Adjusted p values (Holm 1979), in the order given."""
    order = np.argsort(p, kind="stable")
    stepped = np.array(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(value) for value in adjusted]


def _tests(
    first: Array, second: Array, quantiles: Sequence[float], draws: int, random: np.random.Generator
) -> list[Significance]:
    """Tests of the distance, the mean and each quantile."""
    pool, labels = _pooled(first, second)
    # What differs by rounding only is the same result.
    observed = _statistics(pool, labels, quantiles) * (1 - 1e-9)
    exceeded = sum(
        (_statistics(pool, relabelled, quantiles) >= observed).sum(axis=0)
        for relabelled in permuted(labels[0], draws, random)
    )
    p = [float(value) for value in (1 + np.asarray(exceeded)) / (1 + draws)]
    return [Significance(p=value, adjusted_p=adjusted) for value, adjusted in zip(p, holm(p), strict=True)]


def _pooled(first: Array, second: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Both populations' errors in rising order, and [1, networks] which of them are the first's."""
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
    """Kolmogorov-Smirnov distance for each row of labels."""
    first = int(labels[0].sum())
    second = pool.size - first
    # In whole numbers, for rounding would break ties between permutations.
    steps = np.where(labels, second, -first).cumsum(axis=1)
    distances: Array = np.abs(steps[:, last_of_ties(pool)]).max(axis=1) / (first * second)
    return distances


def _ratio(difference: Array, error: Array) -> Array:
    """|difference| / error, where no difference over no error is 0."""
    size = np.abs(difference)
    return np.divide(size, error, out=np.where(size > 0, np.inf, 0.0), where=error > 0)


def _quantile(ordered: Array, quantile: float) -> Array:
    """The quantile of each ordered row, interpolated as numpy does."""
    position = quantile * (ordered.shape[1] - 1)
    low = int(position)
    high = min(low + 1, ordered.shape[1] - 1)
    value: Array = ordered[:, low] + (position - low) * (ordered[:, high] - ordered[:, low])
    return value


def _nearby(ordered: Array, quantile: float) -> Array:
    """Width of the order statistics about two standard errors of the share around the quantile, in each row.

    Proportional to the quantile's standard error (Bloch and Gastwirth 1968).
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
