"""Which arm is better: all pairs of arms, paired by seed and corrected for the number of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from math import ceil, sqrt

import msgspec
import numpy as np
from scipy.special import chdtri, stdtrit
from scipy.stats import nct, norm, studentized_range

from dorsal.stats.interval import Array, Estimate, Need, as_results, check_confidence

ARMS_POWER = 0.8
MOST_SEEDS = 10_000

FEWEST_FREEDOM = 2
"""Fewest degrees of freedom for a standard deviation. With 1, its 90 % interval spans a factor of 31."""


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two arms, the one with the larger estimate first. Differences have the unit of the values.

    - `difference`: better minus worse, never negative. Its interval holds for all pairs at once.
    - `p`: the adjusted two-sided p value. It is below 1 - confidence exactly when the interval excludes 0.
    - `n`: the number of seeds at which both arms have a result.
    - `needed`: the number of seeds that would show a difference of this size. None for a significant pair, and below
      FEWEST_FREEDOM degrees of freedom.

    Interval and `p` are None if noise cannot be told from effect: with one seed, or if arm and seed explain every
    result.
    """

    better: str
    worse: str
    difference: Estimate
    p: float | None
    n: int
    significant: bool
    needed: Need | None
    confidence: float


class Comparisons(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All pairs, ordered by the rank of the better arm, then by that of the worse one.

    - `noise_sd`: the residual standard deviation of all arms together. None without degrees of freedom.
    - `empty`: arms without any result. They are left out.
    - `unpaired`: pairs without a common seed. They are not compared.
    - `results`: the number of results that the arms outside `empty` should have; `missing` of them are absent.
    """

    pairs: tuple[Pair, ...]
    noise_sd: float | None
    degrees_of_freedom: int
    empty: tuple[str, ...]
    unpaired: tuple[tuple[str, str], ...]
    missing: int
    results: int


class BlockFit(msgspec.Struct, frozen=True, kw_only=True):
    """Least squares fit of arm + seed.

    - `effects` [arms]: known up to a common constant.
    - `scale` [arms, arms]: variance of the difference of two effects, in units of the noise variance. 2 / seeds if
      nothing is missing.
    - `noise_variance`: the residual mean square on `degrees_of_freedom`, NaN if there are none.
    """

    effects: Array
    scale: Array
    noise_variance: float
    degrees_of_freedom: int


def compare_arms(values: Mapping[str, Sequence[float | None]], confidence: float = 0.95) -> Comparisons:
    """Compare every pair of arms. Larger values are better.

    `values` has one list for each arm, with the same seeds in the same order. None or NaN marks a seed without a
    result.

    The seed is a block, so an effect of the seed on all arms alike cancels. The noise is pooled over the arms. On 3
    seeds a paired t test has 2 degrees of freedom, and its quantile, corrected for 5 arms, is 14 standard errors;
    pooled, it is 3.5 on 8. The price is the assumption of equal noise. Measured rates of false differences:
    docs/statistics.md. Two arms give exactly the paired t test.

    Missing results are handled in the same fit, so one failed run costs one degree of freedom. A pair without a common
    seed is left out and named in `unpaired`.

    `needed` takes the observed difference for the true one, so it is as uncertain as that.

    Sources: Tukey (1953); Kramer (1956), "Extension of multiple range tests to group means with unequal numbers of
    replications"; Montgomery, "Design and Analysis of Experiments", chapter 4.

    Raises ValueError for fewer than two arms with results, lists of unequal length, infinite values, or a confidence
    that is not between 0 and 1.
    """
    check_confidence(confidence)
    if len(values) < 2:
        raise ValueError(f"values has {len(values)} arm(s): a comparison needs at least 2")
    results = _grid(values)
    counts = (~np.isnan(results)).sum(axis=1)
    arms = [arm for arm, count in zip(values, counts, strict=True) if count]
    if len(arms) < 2:
        raise ValueError(f"values has {len(arms)} arm(s) with results: a comparison needs at least 2")
    results = results[counts > 0]
    fit = fit_blocks(results)
    present = ~np.isnan(results)
    shared = present.astype(int) @ present.T.astype(int)
    # Ranked by estimate, then by name, so that the answer does not depend on the order of the arms.
    ranked = sorted(range(len(arms)), key=lambda i: (-fit.effects[i], arms[i]))
    pairs = tuple(
        _pair(arms, fit, i, j, n=int(shared[i, j]), confidence=confidence)
        for i, j in combinations(ranked, 2)
        if shared[i, j]
    )
    return Comparisons(
        pairs=pairs,
        noise_sd=sqrt(fit.noise_variance) if fit.degrees_of_freedom else None,
        degrees_of_freedom=fit.degrees_of_freedom,
        empty=tuple(arm for arm, count in zip(values, counts, strict=True) if not count),
        unpaired=tuple((arms[i], arms[j]) for i, j in combinations(ranked, 2) if not shared[i, j]),
        missing=int((~present).sum()),
        results=present.size,
    )


def pooled_means(values: Mapping[str, Sequence[float | None]], confidence: float = 0.95) -> dict[str, Estimate]:
    """The mean of each arm over its seeds, with Student's interval by the noise of all arms together.

    `values` is as in `compare_arms`, with one arm or more. Arms without a result are left out. Two seeds of one arm may
    agree or differ by chance, so their own spread says little. The noise and its degrees of freedom are therefore those
    of `compare_arms`. An effect of the seed on all arms alike is not part of it, since it cancels between arms (Loftus
    and Masson 1994). A single arm has the interval of its own results.

    There is no interval below FEWEST_FREEDOM degrees of freedom, or without noise.

    Raises ValueError for lists of unequal length, infinite values, or a confidence that is not between 0 and 1.
    """
    check_confidence(confidence)
    results = _grid(values)
    counts = (~np.isnan(results)).sum(axis=1)
    arms = [arm for arm, count in zip(values, counts, strict=True) if count]
    results, counts = results[counts > 0], counts[counts > 0]
    if not arms:
        return {}
    means = np.nanmean(results, axis=1)
    if len(arms) > 1:
        fit = fit_blocks(results)
        freedom, variance = fit.degrees_of_freedom, fit.noise_variance
    else:
        present = results[~np.isnan(results)]
        freedom = present.size - 1
        variance = float(present.var(ddof=1)) if np.ptp(present) > 0 else 0.0
    known = freedom >= FEWEST_FREEDOM and variance > 0
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * sqrt(variance) if known else None
    return {
        arm: Estimate(
            value=mean,
            low=None if reach is None else mean - reach / sqrt(n),
            high=None if reach is None else mean + reach / sqrt(n),
        )
        for arm, mean, n in zip(arms, means.tolist(), counts.tolist(), strict=True)
    }


def fit_blocks(results: Array) -> BlockFit:
    """Fit arm + seed to `results` [arms, seeds], NaN where missing. Every arm needs a result."""
    arms, seeds = results.shape
    present = ~np.isnan(results)
    arm_index, seed_index = np.nonzero(present)
    observed = results[present]
    centre = observed.mean()
    design = np.hstack([np.eye(arms)[arm_index], np.eye(seeds)[seed_index]])
    gram = design.T @ design
    # The matrix is singular, since arms and seeds both sum to one. Differences of arms are not affected.
    covariance = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    effects = covariance @ (design.T @ (observed - centre))
    residuals = observed - centre - design @ effects
    degrees_of_freedom = observed.size - int(np.linalg.matrix_rank(gram, hermitian=True))
    noise_variance = float(residuals @ residuals) / degrees_of_freedom if degrees_of_freedom else float("nan")
    # A smaller variance is rounding of the input: no ratio and no rank should rest on it.
    rounding = 1e-13 * float(np.abs(observed).max()) or 1.0
    if noise_variance < rounding**2:
        noise_variance = 0.0
    variance = np.diag(covariance)[:arms]
    return BlockFit(
        effects=np.round(effects[:arms] / rounding) * rounding,
        scale=variance[:, None] + variance[None, :] - 2 * covariance[:arms, :arms],
        noise_variance=noise_variance,
        degrees_of_freedom=degrees_of_freedom,
    )


@cache
def critical_range(arms: int, degrees_of_freedom: float, confidence: float) -> float:
    """Quantile of the studentized range of `arms` means, in standard errors of a mean."""
    return float(studentized_range.ppf(confidence, arms, degrees_of_freedom))


def seeds_needed(effect: float, arms: int, confidence: float = 0.95) -> int | None:
    """The fewest complete seeds with which Tukey's test shows a true `effect` with 80 % power.

    `effect` is the difference of two arms in units of the noise standard deviation. None for more than MOST_SEEDS. A
    difference shown with the wrong sign does not count.
    """
    # Above 100 two seeds are enough at any usual confidence, and the noncentral t is no longer accurate.
    effect = min(abs(effect), 100.0)
    if effect == 0:
        return None
    start = max(2, ceil(_with_known_noise(effect, arms, confidence)))
    return next((seeds for seeds in range(start, MOST_SEEDS + 1) if _shown(effect, arms, seeds, confidence)), None)


def _with_known_noise(effect: float, arms: int, confidence: float) -> float:
    """The number of seeds if the variance of the noise were known: slightly fewer than the test needs."""
    return 2 * ((critical_range(arms, float("inf"), confidence) / sqrt(2) + float(norm.ppf(ARMS_POWER))) / effect) ** 2


def _need(difference: float, noise: float, freedom: int, arms: int, confidence: float) -> Need:
    """`seeds_needed`, with its values at both ends of the 90 % interval of the noise. Seeds grow with the noise
    squared.
    """
    if difference == 0:
        return Need(value=None, low=None, high=None)
    effect = min(difference / noise, 100.0)
    value = seeds_needed(effect, arms, confidence)
    about = value or _with_known_noise(effect, arms, confidence)
    low, high = (about * freedom / float(chdtri(freedom, tail)) for tail in (0.05, 0.95))
    return Need(value=value, low=_seeds(low), high=_seeds(high))


def _seeds(number: float) -> int | None:
    return None if number > MOST_SEEDS else max(2, ceil(number))


def _shown(effect: float, arms: int, seeds: int, confidence: float) -> bool:
    """Whether the test is significant at the t statistic that is exceeded with probability ARMS_POWER."""
    degrees_of_freedom = (arms - 1) * (seeds - 1)
    t = float(nct.ppf(1 - ARMS_POWER, degrees_of_freedom, effect * sqrt(seeds / 2)))
    return t > 0 and _adjusted_p(t, arms, degrees_of_freedom) <= 1 - confidence


def _adjusted_p(t: float, arms: int, degrees_of_freedom: int) -> float:
    # scipy computes sf as 1 - cdf by quadrature, which may be slightly below 0.
    return max(0.0, float(studentized_range.sf(abs(t) * sqrt(2), arms, degrees_of_freedom)))


def _pair(arms: list[str], fit: BlockFit, i: int, j: int, *, n: int, confidence: float) -> Pair:
    difference = float(fit.effects[i] - fit.effects[j])
    low = high = p = needed = None
    significant = False
    if fit.noise_variance > 0:
        noise, freedom = sqrt(fit.noise_variance), fit.degrees_of_freedom
        standard_error = noise * sqrt(fit.scale[i, j])
        half_width = critical_range(len(arms), freedom, confidence) / sqrt(2) * standard_error
        low, high = difference - half_width, difference + half_width
        p = _adjusted_p(difference / standard_error, len(arms), freedom)
        significant = low > 0
        if not significant and freedom >= FEWEST_FREEDOM:
            needed = _need(difference, noise, freedom, len(arms), confidence)
    return Pair(
        better=arms[i],
        worse=arms[j],
        difference=Estimate(value=difference, low=low, high=high),
        p=p,
        n=n,
        significant=significant,
        needed=needed,
        confidence=confidence,
    )


def _grid(values: Mapping[str, Sequence[float | None]]) -> Array:
    """The results as [arms, seeds], with NaN where there is none."""
    lengths = {arm: len(results) for arm, results in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"values needs one entry a seed in every arm, None where missing, but has lengths {lengths}")
    return np.stack([as_results(results, f"values[{arm!r}]") for arm, results in values.items()])
