"""Which arm is better: all pairs of arms, paired by seed and by test image, and corrected for the number of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import hypot, inf, sqrt

import msgspec
import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit

from dorsal.stats.images import ImageNoise, ImageValues, difference_noise, mean_noise, stacked
from dorsal.stats.interval import Array, Estimate, Need, as_results, check_confidence
from dorsal.stats.needs import SeedNoise, need_of_images, need_of_seeds
from dorsal.stats.tukey import LEAST_P, adjusted_p, critical_t, same_level

FEWEST_FREEDOM = 2
"""Fewest degrees of freedom for a standard deviation. With 1, its 90 % interval spans a factor of 31."""


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two arms, the one with the larger estimate first. Differences have the unit of the values.

    - `difference`: better minus worse, never negative. Its interval holds for all pairs at once.
    - `p`: the adjusted two-sided p value. It is below 1 - confidence exactly when the interval excludes 0.
    - `n`: the number of seeds at which both arms have a result.
    - `images`: the number of independent test images (or groups of images). None if the interval is not over images.
    - `seed_half`: half of the interval over seeds alone, None where it is not over seeds. `image_half`: what the choice
      of test images adds to it, in squares; None where it is not over images.
    - `needed`: the number of seeds that would show a difference of this size on as many images. None for a significant
      pair, below FEWEST_FREEDOM degrees of freedom, and without noise of seeds.
    - `images_needed`: the number of images that would show it with as many seeds. None for a significant pair, below
      FEWEST_FREEDOM degrees of freedom, and without images.

    Interval and `p` are None if noise cannot be told from effect: without images and with one seed, or if arm and seed
    explain every result. With images, the interval is then over images alone: it is of these trained models.
    """

    better: str
    worse: str
    difference: Estimate
    p: float | None
    n: int
    images: int | None = None
    seed_half: float | None = None
    image_half: float | None = None
    significant: bool
    needed: Need | None
    images_needed: Need | None = None
    confidence: float


class Comparisons(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All pairs, ordered by the rank of the better arm, then by that of the worse one.

    - `noise_sd`: the residual standard deviation of all arms together. None without degrees of freedom.
    - `empty`: arms without any result. They are left out.
    - `unpaired`: pairs without a common seed. They are not compared.
    - `results`: the number of results that the arms outside `empty` should have; `missing` of them are absent.
    - `overlap`: as in `compare_arms`.
    """

    pairs: tuple[Pair, ...]
    noise_sd: float | None
    degrees_of_freedom: int
    empty: tuple[str, ...]
    unpaired: tuple[tuple[str, str], ...]
    missing: int
    results: int
    overlap: float = 0.0


class BlockFit(msgspec.Struct, frozen=True, kw_only=True):
    """Least squares fit of arm + seed.

    - `effects` [arms]: known up to a common constant.
    - `scale` [arms, arms]: variance of the difference of two effects, in units of the noise variance. 2 / seeds +
      2 x `overlap` if nothing is missing.
    - `noise_variance`: the residual mean square on `degrees_of_freedom`, NaN if there are none.
    - `overlap`: as in `compare_arms`.
    """

    effects: Array
    scale: Array
    noise_variance: float
    degrees_of_freedom: int
    overlap: float

    def noise(self, i: int, j: int) -> SeedNoise | None:
        """The noise of seeds in the difference of two arms. None if it is not known."""
        if not self.noise_variance > 0:
            return None
        return SeedNoise(
            variance=self.noise_variance,
            freedom=self.degrees_of_freedom,
            scale=float(self.scale[i, j]),
            overlap=self.overlap,
        )


def compare_arms(
    values: Mapping[str, Sequence[float | None]],
    confidence: float = 0.95,
    images: ImageValues | None = None,
    overlap: float = 0.0,
) -> Comparisons:
    """Compare every pair of arms. Larger values are better.

    `values` has one list for each arm, with the same seeds in the same order. None or NaN marks a seed without a
    result. `images` has the `values` of a `Contribution` for each arm and seed, as far as there are results. With it,
    intervals and tests are for new seeds and new test images; without it, for new seeds only.

    The seed is a block, so an effect of the seed on all arms alike cancels. The noise is pooled over the arms. On 3
    seeds a paired t test has 2 degrees of freedom, and its quantile, corrected for 5 arms, is 14 standard errors;
    pooled, it is 3.5 on 8. The price is the assumption of equal noise. Measured rates of false differences:
    docs/statistics.md. Two arms give exactly the paired t test.

    The choice of images is added in squares of half-widths (Howe 1974). What a seed does to single images is in the
    noise of seeds already, so it is taken off the noise of images first (`ImageNoise.own`). The interval is never
    narrower than that over seeds alone, nor than that over images alone. If fewer than `images.FEWEST_SEPARATING`
    images separate two arms, the part of the images is exact (`images.Few`).

    `overlap` is for seeds that each draw training and test images anew from the same images: the number of test images
    divided by that of training images. Such seeds share training images, so that their mean varies more than their
    spread says. The variance of a difference is then (1 / seeds + overlap) times that of one seed instead of 1 / seeds
    times (Nadeau and Bengio 2003, section 3). No number of seeds takes the second part away. The interval is for new
    training and test images too, and goes without `images`.

    Missing results are handled in the same fit, so one failed run costs one degree of freedom. A pair without a common
    seed is left out and named in `unpaired`.

    `needed` and `images_needed` take the observed difference for the true one, so they are as uncertain as that.

    Sources: Tukey (1953); Kramer (1956), "Extension of multiple range tests to group means with unequal numbers of
    replications"; Montgomery, "Design and Analysis of Experiments", chapter 4; Howe (1974), "Approximate confidence
    limits on the mean of X + Y where X and Y are two tabled independent random variables"; Nadeau and Bengio (2003),
    "Inference for the generalization error".

    Raises ValueError for fewer than two arms with results, lists of unequal length, infinite values, a confidence that
    is not between 0 and 1, an `overlap` below 0 or with `images`, or `images` that do not go with the values.
    """
    check_confidence(confidence)
    if not overlap >= 0 or (overlap and images is not None):
        raise ValueError(f"overlap={overlap} must be at least 0, and goes without images")
    if len(values) < 2:
        raise ValueError(f"values has {len(values)} arm(s): a comparison needs at least 2")
    results = _grid(values)
    counts = (~np.isnan(results)).sum(axis=1)
    arms = [arm for arm, count in zip(values, counts, strict=True) if count]
    if len(arms) < 2:
        raise ValueError(f"values has {len(arms)} arm(s) with results: a comparison needs at least 2")
    results = results[counts > 0]
    fit = fit_blocks(results, overlap)
    present = ~np.isnan(results)
    shared = present.astype(int) @ present.T.astype(int)
    # Ranked by estimate, then by name, so that the answer does not depend on the order of the arms.
    ranked = sorted(range(len(arms)), key=lambda i: (-fit.effects[i], arms[i]))
    cube = None if images is None else _cube(images, arms, present)
    pairs = tuple(
        _pair(
            (arms[i], arms[j]),
            float(fit.effects[i] - fit.effects[j]),
            seeds=fit.noise(i, j),
            images=None if cube is None else difference_noise(cube[i], cube[j]),
            n=int(shared[i, j]),
            arms=len(arms),
            confidence=confidence,
        )
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
        overlap=overlap,
    )


def pooled_means(
    values: Mapping[str, Sequence[float | None]],
    confidence: float = 0.95,
    images: ImageValues | None = None,
    overlap: float = 0.0,
) -> dict[str, Estimate]:
    """The mean of each arm over its seeds, with Student's interval by the noise of all arms together.

    `values`, `images` and `overlap` are as in `compare_arms`, with one arm or more. Arms without a result are left out.
    Two seeds of one arm may agree or differ by chance, so their own spread says little. The noise and its degrees of
    freedom are therefore those of `compare_arms`. An effect of the seed on all arms alike is not part of it, since it
    cancels between arms (Loftus and Masson 1994). A single arm has the interval of its own results.

    With `images`, the interval is over seeds and test images, as in `compare_arms`, and with one seed over images
    alone, as it is where all seeds of an arm answer alike on every image: then nothing was left to chance. There is
    none below FEWEST_FREEDOM degrees of freedom of other seeds, or if these show no noise.

    Raises ValueError for lists of unequal length, infinite values, a confidence that is not between 0 and 1, or
    `images` that do not go with the values.
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
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * sqrt(variance) if known else None
    cube = None if images is None else _cube(images, arms, ~np.isnan(results))
    if cube is not None and not (known or results.shape[1] == 1 or _repeats(cube)):
        cube = None
    z = float(ndtri((1 + confidence) / 2))
    found = {}
    for place, (arm, mean, n) in enumerate(zip(arms, means.tolist(), counts.tolist(), strict=True)):
        by_seeds = None if half is None else half * sqrt(1 / n + overlap)
        below, above = reach(by_seeds, None if cube is None else mean_noise(cube[place]), z)
        found[arm] = Estimate(
            value=mean,
            low=None if below is None else mean - below,
            high=None if above is None else mean + above,
        )
    return found


def fit_blocks(results: Array, overlap: float = 0.0) -> BlockFit:
    """Fit arm + seed to `results` [arms, seeds], NaN where missing. Every arm needs a result.

    `overlap` is as in `compare_arms`.
    """
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
        scale=variance[:, None] + variance[None, :] - 2 * covariance[:arms, :arms] + 2 * overlap * (1 - np.eye(arms)),
        noise_variance=noise_variance,
        degrees_of_freedom=degrees_of_freedom,
        overlap=overlap,
    )


def _pair(
    names: tuple[str, str],
    difference: float,
    *,
    seeds: SeedNoise | None,
    images: ImageNoise | None,
    n: int,
    arms: int,
    confidence: float,
) -> Pair:
    low = high = seed_half = image_half = p = needed = images_needed = None
    significant = False
    error = sqrt(seeds.variance * seeds.scale) if seeds else 0.0
    if seeds is not None:
        seed_half = critical_t(arms, seeds.freedom, confidence) * error
    below, above = reach(seed_half, images, critical_t(arms, inf, confidence))
    if below is not None and above is not None:
        low, high = difference - below, difference + above
        significant = low > 0
        p = _p(difference, seeds, images, arms)
        if images is not None:  # its p value is from a table, right to three digits: the interval decides
            p = min(p, 1 - confidence - 1e-12) if significant else max(p, 1 - confidence)
        half = (below + above) / 2
        image_half = None if images is None else sqrt(max(0.0, half**2 - (seed_half or 0.0) ** 2))
        if not significant and (seeds is None or seeds.freedom >= FEWEST_FREEDOM):
            added = 0.0 if images is None else images.own * (images.reach(1.0)[0]) ** 2
            needed = need_of_seeds(difference, seeds, arms, confidence, added) if seeds else None
            images_needed = need_of_images(difference, images, seeds, arms, confidence) if images else None
    return Pair(
        better=names[0],
        worse=names[1],
        difference=Estimate(value=difference, low=low, high=high),
        p=p,
        n=n,
        images=images.images if images else None,
        seed_half=seed_half,
        image_half=image_half,
        significant=significant,
        needed=needed,
        images_needed=images_needed,
        confidence=confidence,
    )


def reach(seed_half: float | None, images: ImageNoise | None, z: float) -> tuple[float | None, float | None]:
    """How far the interval over seeds and images reaches below and above the estimate.

    None where it is over neither.
    """
    if images is None:
        return seed_half, seed_half
    alone, own = images.reach(z), sqrt(images.own)
    below, above = (max(end, hypot(seed_half or 0.0, own * end)) for end in alone)
    return below, above


def _p(difference: float, seeds: SeedNoise | None, images: ImageNoise | None, arms: int) -> float:
    """The level at which the interval ends at 0."""
    error = sqrt(seeds.variance * seeds.scale) if seeds else 0.0
    if images is None and seeds is not None:
        return adjusted_p(difference / error, arms, seeds.freedom)

    def gap(z: float) -> float:
        half = same_level(z, arms, seeds.freedom) * error if seeds else None
        return (reach(half, images, z)[0] or 0.0) - difference

    least, most = 1e-3, 6.0
    if gap(least) >= 0:
        return 1.0
    if gap(most) < 0:
        return LEAST_P
    return max(LEAST_P, adjusted_p(float(brentq(gap, least, most)), arms, inf))


def _cube(images: ImageValues, arms: Sequence[str], present: Array) -> Array:
    """The values of these arms, [arms, seeds, images]. ValueError unless they are there exactly where results are."""
    if absent := [arm for arm in arms if arm not in images]:
        raise ValueError(f"images lacks {absent[0]!r}: it needs every arm that has results")
    cube = stacked({arm: images[arm] for arm in arms})
    if cube.shape[:2] != present.shape or (np.isnan(cube[:, :, 0]) == present).any():
        raise ValueError("images must have an entry for each arm and seed, None exactly where there is no result")
    return cube


def _repeats(cube: Array) -> bool:
    """Whether all seeds of each arm, two or more, have the same values: [arms, seeds, images], NaN without a result."""
    runs = [arm[~np.isnan(arm[:, 0])] for arm in cube]
    return all(len(of_arm) > 1 and (np.ptp(of_arm, axis=0) == 0).all() for of_arm in runs)


def _grid(values: Mapping[str, Sequence[float | None]]) -> Array:
    """The results as [arms, seeds], with NaN where there is none."""
    lengths = {arm: len(results) for arm, results in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"values needs one entry a seed in every arm, None where missing, but has lengths {lengths}")
    return np.stack([as_results(results, f"values[{arm!r}]") for arm, results in values.items()])
