"""Which arm is better: every pair of arms, paired by seed and corrected for the number of pairs."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from math import ceil, sqrt

import msgspec
import numpy as np
from scipy.stats import nct, norm, studentized_range

from dorsal.stats.interval import Array, as_results, check_confidence

ARMS_POWER = 0.8
MOST_SEEDS = 10_000

ARMS_METHOD = (
    "Randomised blocks: result = arm + seed + noise, fitted by least squares to the results present. "
    "Tukey's studentized range gives intervals and p values that hold for all pairs of arms at once "
    "(Tukey-Kramer where results are missing)."
)
ASSUMPTIONS = (
    "The noise is roughly normal.",
    "The noise is equally large in every arm. Where one arm of five is three times as noisy as the rest, "
    "a false difference somewhere is reported in 10 % of studies instead of 5 %.",
    "A missing result says nothing about the value it would have had. A run that diverged because of its arm "
    "breaks this, in that arm's favour.",
)


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two arms, the one with the larger estimate first, in the unit of the values.

    `low` to `high` is the simultaneous interval of `difference` (better minus worse, never negative) and
    `p` the adjusted two-sided p value; p < 1 - confidence exactly when the interval excludes 0. All three
    are None where the results cannot tell noise from effect: one seed, or no spread at all once arm and
    seed are taken out. `n` counts the seeds at which both arms have a result. `seeds_needed` is None above
    MOST_SEEDS, and where p is None.
    """

    better: str
    worse: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    significant: bool
    seeds_needed: int | None
    confidence: float


class Comparisons(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All pairs, ordered by the rank of the better arm, then of the worse one.

    `noise_sd` is the residual standard deviation shared by all arms (None where there are no degrees of
    freedom for it). `notes` says in words what is missing from the data and how that was handled.
    """

    pairs: tuple[Pair, ...]
    noise_sd: float | None
    degrees_of_freedom: int
    method: str
    assumptions: tuple[str, ...]
    notes: tuple[str, ...]


class BlockFit(msgspec.Struct, frozen=True, kw_only=True):
    """Least squares fit of arm + seed.

    `effects` [arms] are known up to a common constant. `scale` [arms, arms] is the variance of the
    difference of two of them in units of the noise variance (2 / seeds where nothing is missing), and
    `noise_variance` the residual mean square on `degrees_of_freedom`, NaN for none.
    """

    effects: Array
    scale: Array
    noise_variance: float
    degrees_of_freedom: int


def compare_arms(values: Mapping[str, Sequence[float | None]], confidence: float = 0.95) -> Comparisons:
    """Compare every pair of arms; larger values are better.

    `values` holds one list an arm, the same seeds in the same order for all. None or NaN is a seed without
    a result.

    The seed is the block, so whatever it shifts in all arms alike cancels. The noise is pooled over arms:
    on 3 seeds a paired t test has 2 degrees of freedom and its quantile, corrected for 5 arms, is 14
    standard errors; pooled, it is 3.5 on 8. The price is the assumption of equal noise. Measured
    family-wise rate of false differences at a nominal 5 %, 3 seeds: 5 % with equal noise, 7 to 8 % with
    standard deviations from 0.5 to 2, 10 % (14 %) with one of 5 (10) arms three times as noisy, 16 % with
    one of 5 ten times. Two arms give exactly the paired t test.

    Missing results are handled in the same fit instead of falling back to paired t tests, so that one
    failed run costs one degree of freedom and not all power. A pair with no seed in common is left out, and
    named in the notes.

    `seeds_needed` takes the observed difference and noise as the true ones, so it inherits their error.

    Sources: Tukey (1953); Kramer (1956), "Extension of multiple range tests to group means with unequal
    numbers of replications"; Montgomery, "Design and Analysis of Experiments", chapter 4.

    Raises ValueError for fewer than two arms with results, lists of unequal length, infinite values, or a
    confidence that is not between 0 and 1.
    """
    check_confidence(confidence)
    results = _grid(values)
    counts = (~np.isnan(results)).sum(axis=1)
    arms = [arm for arm, count in zip(values, counts, strict=True) if count]
    if len(arms) < 2:
        raise ValueError(f"values has {len(arms)} arm(s) with results: a comparison needs at least 2")
    empty = [arm for arm, count in zip(values, counts, strict=True) if not count]
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
    unpaired = [(arms[i], arms[j]) for i, j in combinations(ranked, 2) if not shared[i, j]]
    return Comparisons(
        pairs=pairs,
        noise_sd=sqrt(fit.noise_variance) if fit.degrees_of_freedom else None,
        degrees_of_freedom=fit.degrees_of_freedom,
        method=ARMS_METHOD,
        assumptions=ASSUMPTIONS,
        notes=_notes(empty, unpaired, int((~present).sum()), present.size),
    )


def fit_blocks(results: Array) -> BlockFit:
    """Fit arm + seed to `results` [arms, seeds], NaN where missing; every arm needs a result."""
    arms, seeds = results.shape
    present = ~np.isnan(results)
    arm_index, seed_index = np.nonzero(present)
    observed = results[present]
    centre = observed.mean()
    design = np.hstack([np.eye(arms)[arm_index], np.eye(seeds)[seed_index]])
    gram = design.T @ design
    # Singular by construction, since arms and seeds both sum to one; differences of arms are not affected.
    covariance = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    effects = covariance @ (design.T @ (observed - centre))
    residuals = observed - centre - design @ effects
    degrees_of_freedom = observed.size - int(np.linalg.matrix_rank(gram, hermitian=True))
    noise_variance = float(residuals @ residuals) / degrees_of_freedom if degrees_of_freedom else float("nan")
    # What is smaller is rounding of the input: a ratio to it or a rank by it means nothing.
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
    """Quantile of the studentized range of `arms` means."""
    return float(studentized_range.ppf(confidence, arms, degrees_of_freedom))


def seeds_needed(effect: float, arms: int, confidence: float = 0.95) -> int | None:
    """Smallest number of complete seeds at which Tukey's test shows a true `effect` with 80 % power.

    `effect` is the difference of two arms in units of the noise standard deviation. None if more than
    MOST_SEEDS. A difference shown with the wrong sign is not counted.
    """
    # Beyond 100 two seeds do at any usual confidence, and the noncentral t loses its accuracy.
    effect = min(abs(effect), 100.0)
    if effect == 0:
        return None
    # With known variance the test would need this many, so the search can start here.
    known_variance = critical_range(arms, float("inf"), confidence) / sqrt(2) + float(norm.ppf(ARMS_POWER))
    start = max(2, ceil(2 * (known_variance / effect) ** 2))
    return next((seeds for seeds in range(start, MOST_SEEDS + 1) if _shown(effect, arms, seeds, confidence)), None)


def _shown(effect: float, arms: int, seeds: int, confidence: float) -> bool:
    """Whether the t statistic exceeded with probability ARMS_POWER is significant."""
    degrees_of_freedom = (arms - 1) * (seeds - 1)
    t = float(nct.ppf(1 - ARMS_POWER, degrees_of_freedom, effect * sqrt(seeds / 2)))
    return t > 0 and _adjusted_p(t, arms, degrees_of_freedom) <= 1 - confidence


def _adjusted_p(t: float, arms: int, degrees_of_freedom: int) -> float:
    # sf is 1 - cdf by quadrature and may end just below 0.
    return max(0.0, float(studentized_range.sf(abs(t) * sqrt(2), arms, degrees_of_freedom)))


def _pair(arms: list[str], fit: BlockFit, i: int, j: int, *, n: int, confidence: float) -> Pair:
    difference = float(fit.effects[i] - fit.effects[j])
    low = high = p = needed = None
    significant = False
    if fit.noise_variance > 0:
        standard_error = sqrt(fit.noise_variance * fit.scale[i, j])
        half_width = critical_range(len(arms), fit.degrees_of_freedom, confidence) / sqrt(2) * standard_error
        low, high = difference - half_width, difference + half_width
        p = _adjusted_p(difference / standard_error, len(arms), fit.degrees_of_freedom)
        significant = low > 0
        needed = seeds_needed(difference / sqrt(fit.noise_variance), len(arms), confidence)
    return Pair(
        better=arms[i],
        worse=arms[j],
        difference=difference,
        low=low,
        high=high,
        p=p,
        n=n,
        significant=significant,
        seeds_needed=needed,
        confidence=confidence,
    )


def _grid(values: Mapping[str, Sequence[float | None]]) -> Array:
    """[arms, seeds] with NaN where there is no result."""
    if len(values) < 2:
        raise ValueError(f"values has {len(values)} arm(s): a comparison needs at least 2")
    lengths = {arm: len(results) for arm, results in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"values needs one entry a seed in every arm, None where missing, but has lengths {lengths}")
    return np.stack([as_results(results, f"values[{arm!r}]") for arm, results in values.items()])


def _notes(empty: list[str], unpaired: list[tuple[str, str]], missing: int, total: int) -> tuple[str, ...]:
    notes = []
    if empty:
        notes.append(f"No result at any seed, left out: {', '.join(empty)}.")
    if missing:
        notes.append(f"{missing} of {total} results are missing; differences are adjusted for the seeds they miss.")
    if unpaired:
        names = "; ".join(f"{a} and {b}" for a, b in unpaired)
        notes.append(f"No seed in common, not compared: {names}.")
    return tuple(notes)
