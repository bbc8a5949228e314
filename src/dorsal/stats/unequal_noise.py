"""Arms that are unequally noisy: a test that finds them, and a comparison that bears them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import sqrt

import msgspec
import numpy as np
from msgspec.structs import replace
from scipy.special import stdtr, stdtrit

from dorsal.stats.arms import FEWEST_FREEDOM, Comparisons, Pair, compare_arms
from dorsal.stats.interval import Array, Estimate, as_results, check_confidence

FEWEST_ARMS = 3
"""Of two arms nobody can say whose noise their differences have; and a paired t test of two does not mind."""
_DRAWS = 4000


class NoiseTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether one arm is noisier than the others.

    - `p`: the p value that all arms are equally noisy. `noisiest`: the arm with the largest residuals.
    - `noise_sd`: the noise standard deviation of each arm, 0 where the estimate of its square is below 0.
    - `seeds`: the number of seeds at which all arms have a result; only these are used.
    """

    p: float
    noisiest: str
    noise_sd: dict[str, float]
    seeds: int


def noise_test(values: Mapping[str, Sequence[float | None]]) -> NoiseTest | None:
    """Test whether the arms are equally noisy. `values` is as in `compare_arms`.

    Effects of arms and of seeds are fitted and taken away. The statistic is the largest share that one arm has of the
    squared residuals (Cochran 1941). Its distribution under equal normal noise depends on nothing but the numbers of
    arms and seeds, so it is simulated: the test keeps its level with 3 seeds too. Under noise with heavy tails it warns
    too often: docs/statistics.md. Noise of each arm: Grubbs (1948).

    None for fewer than FEWEST_ARMS arms with results, fewer than 3 seeds at which all have one, or no noise.

    Raises ValueError for lists of unequal length or infinite values.
    """
    table = {arm: as_results(results, f"values[{arm!r}]") for arm, results in values.items()}
    table = {arm: results for arm, results in table.items() if not np.isnan(results).all()}
    if len({results.size for results in table.values()}) > 1:
        raise ValueError("values needs one entry a seed in every arm, None where missing")
    if len(table) < FEWEST_ARMS:
        return None
    results = np.stack(list(table.values()))
    results = results[:, ~np.isnan(results).any(axis=0)]
    arms, seeds = results.shape
    if seeds < 3:
        return None
    residuals = _residuals(results[None])[0]
    if np.abs(residuals).max() <= 1e-13 * np.abs(results).max():
        return None
    null = _null_shares(arms, seeds)
    share = float(_largest_share(residuals[None])[0])
    return NoiseTest(
        p=float((1 + (null >= share - 1e-12).sum()) / (1 + null.size)),
        noisiest=list(table)[int((residuals**2).sum(axis=1).argmax())],
        noise_sd=dict(zip(table, _noise_of_each(results), strict=True)),
        seeds=seeds,
    )


def compare_unequal_arms(
    values: Mapping[str, Sequence[float | None]], confidence: float = 0.95, overlap: float = 0.0
) -> Comparisons:
    """Compare every pair of arms as `compare_arms` does, but allow each arm noise of its own.

    Each pair has a paired t test on its own differences, corrected for the number of pairs by Bonferroni. This keeps
    the level however unequal the noise is. A studentized range instead (Games and Howell 1976) is too short on few
    seeds: docs/statistics.md. The price is that a pair's own seeds alone tell its noise, so 3 are rarely enough.

    `needed` is None. `overlap`, `noise_sd` and `degrees_of_freedom` are those of `compare_arms`. Raises ValueError as
    that does.
    """
    check_confidence(confidence)
    found = compare_arms(values, confidence, overlap=overlap)
    table = {arm: as_results(results, arm) for arm, results in values.items()}
    pairs = tuple(_alone(pair, table, len(found.pairs), confidence, overlap) for pair in found.pairs)
    return replace(found, pairs=pairs)


def _alone(pair: Pair, table: Mapping[str, Array], pairs: int, confidence: float, overlap: float) -> Pair:
    gaps = table[pair.better] - table[pair.worse]
    gaps = gaps[~np.isnan(gaps)]
    value, freedom = float(gaps.mean()), gaps.size - 1
    better, worse = (pair.better, pair.worse) if value >= 0 else (pair.worse, pair.better)
    error = float(gaps.std(ddof=1)) * sqrt(1 / gaps.size + overlap) if freedom >= FEWEST_FREEDOM - 1 else 0.0
    if error <= 1e-13 * float(np.abs(gaps).max()):
        alone = Estimate(value=abs(value), low=None, high=None)
        return replace(pair, better=better, worse=worse, difference=alone, p=None, significant=False, needed=None)
    half = float(stdtrit(freedom, 1 - (1 - confidence) / 2 / pairs)) * error
    p = min(1.0, 2 * pairs * float(stdtr(freedom, -abs(value) / error)))
    difference = Estimate(value=abs(value), low=abs(value) - half, high=abs(value) + half)
    return replace(
        pair, better=better, worse=worse, difference=difference, p=p, significant=abs(value) > half, needed=None
    )


def _residuals(results: Array) -> Array:
    """`results` [..., arms, seeds] without the effects of arms and seeds."""
    by_arm, by_seed = results.mean(axis=-1, keepdims=True), results.mean(axis=-2, keepdims=True)
    found: Array = results - by_arm - by_seed + results.mean(axis=(-2, -1), keepdims=True)
    return found


def _largest_share(residuals: Array) -> Array:
    sizes = (residuals**2).sum(axis=-1)
    found: Array = sizes.max(axis=-1) / sizes.sum(axis=-1)
    return found


@cache
def _null_shares(arms: int, seeds: int) -> Array:
    """The statistic of studies with equal normal noise."""
    random = np.random.default_rng(0)
    return _largest_share(_residuals(random.standard_normal((_DRAWS, arms, seeds))))


def _noise_of_each(results: Array) -> list[float]:
    """Grubbs's estimates: the variance of the difference of two arms is the sum of their variances."""
    arms = len(results)
    variances = (results[:, None] - results[None, :]).var(axis=2, ddof=1)
    total = variances.sum() / 2
    squares = (variances.sum(axis=1) - total / (arms - 1)) / (arms - 2)
    return [float(value) for value in np.sqrt(np.maximum(squares, 0))]
