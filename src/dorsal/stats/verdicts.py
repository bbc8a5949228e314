"""Three verdicts on two arms: one is better, they are practically equal, or neither is shown."""

from __future__ import annotations

from functools import cache
from math import ceil, exp, inf, log, sqrt
from typing import Literal

import msgspec
import numpy as np
from scipy.special import chdtri, ndtr
from scipy.stats import norm

from dorsal.language.amounts import MARGIN, check_margin
from dorsal.stats.arms import FEWEST_FREEDOM, Comparisons, Pair
from dorsal.stats.interval import Array, Estimate, Need
from dorsal.stats.needs import MOST_SEEDS
from dorsal.stats.tukey import ARMS_POWER, critical_range

Verdict = Literal["better", "practically equal", "undecided"]

# Quantiles of the noise over which power is averaged.
_NODES = 200


class Judgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The verdict on one pair of arms.

    - `within_margin`: whether the whole interval lies inside the margin. Then "better" means better by less than it.
    - `can_be_equal`: whether the interval is short enough for "practically equal", had the difference been 0.
    - `equal_needed`: the number of seeds that would show two level arms to be practically equal on as many images. None
      for a decided pair, below FEWEST_FREEDOM degrees of freedom, where there are so many seeds, and where no number of
      seeds does.
    - `equal_images`: about how many images, with as many seeds, make the interval shorter than the margin. None for a
      decided pair, without images, and where no number of images does.
    """

    better: str
    worse: str
    verdict: Verdict
    within_margin: bool
    can_be_equal: bool
    equal_needed: Need | None
    equal_images: int | None


def verdict_of(difference: Estimate, margin: float = MARGIN) -> Verdict:
    """The verdict that follows from where the interval of a difference lies.

    "better" if it excludes 0. Otherwise "practically equal" if it lies inside -margin to margin: two one-sided tests
    (Schuirmann 1987), each at half of 1 - confidence. Where the interval holds for all pairs at once, so do the
    verdicts. They never contradict the interval that is shown; the price is a wider interval than tests each at
    1 - confidence would need. Measured levels: docs/statistics.md.

    Raises ValueError unless the margin is above 0.
    """
    check_margin(margin)
    low, high = difference.low, difference.high
    if low is None or high is None:
        return "undecided"
    if low > 0 or high < 0:
        return "better"
    return "practically equal" if -margin < low and high < margin else "undecided"


def judge(found: Comparisons, margin: float = MARGIN) -> tuple[Judgement, ...]:
    """The verdicts on all pairs of a comparison, in their order. `margin` has the unit of the values.

    Raises ValueError unless the margin is above 0.
    """
    check_margin(margin)
    judgements = []
    for pair in found.pairs:
        low, high = pair.difference.low, pair.difference.high
        if low is None or high is None:
            low, high = -inf, inf
        verdict = verdict_of(pair.difference, margin)
        is_open = verdict == "undecided"
        judgements.append(
            Judgement(
                better=pair.better,
                worse=pair.worse,
                verdict=verdict,
                within_margin=-margin < low and high < margin,
                can_be_equal=(high - low) / 2 < margin,
                equal_needed=_seeds_for(pair, found, margin) if is_open else None,
                equal_images=_images_for(pair, margin) if is_open else None,
            )
        )
    return tuple(judgements)


def _seeds_for(pair: Pair, found: Comparisons, margin: float) -> Need | None:
    """`Judgement.equal_needed`. The part of the images stays, so seeds have what it leaves of the margin."""
    if not found.noise_sd or found.degrees_of_freedom < FEWEST_FREEDOM:
        return None
    left = margin**2 - (pair.image_half or 0.0) ** 2
    if left <= 0:
        return None
    arms, freedom = len(compared_arms(found)), found.degrees_of_freedom
    needed = _equal_needed(sqrt(left) / found.noise_sd, freedom, arms, pair.confidence, found.overlap)
    return needed if needed.value is None or needed.value > pair.n else None


def _images_for(pair: Pair, margin: float) -> int | None:
    """`Judgement.equal_images`."""
    if pair.images is None or pair.image_half is None:
        return None
    needed = runs_to_narrow(pair.image_half, pair.seed_half or 0.0, pair.images, margin)
    return needed if needed is not None and needed > pair.images else None


def compared_arms(found: Comparisons) -> tuple[str, ...]:
    """The arms with results, as they stand in the pairs: the one with the largest estimate first."""
    pairs = [(pair.better, pair.worse) for pair in found.pairs] + list(found.unpaired)
    # An arm stands behind each arm that is ahead of it.
    behind = {arm: 0 for pair in pairs for arm in pair}
    for _, worse in pairs:
        behind[worse] += 1
    return tuple(sorted(behind, key=lambda arm: behind[arm]))


def seeds_for_equality(margin: float, arms: int, confidence: float = 0.95, overlap: float = 0.0) -> int | None:
    """The fewest complete seeds that show two level arms of `arms` to be practically equal with 80 % power.

    `margin` is in units of the noise standard deviation, `overlap` as in `compare_arms`. None for more than MOST_SEEDS.
    """
    check_margin(margin)
    start = _with_known_noise(margin, arms, confidence, overlap)
    if start > MOST_SEEDS:
        return None
    seeds = max(2, ceil(start))
    while seeds <= MOST_SEEDS and _equality_power(margin, arms, seeds, confidence, overlap) < ARMS_POWER:
        seeds += max(1, seeds // 100)
    return seeds if seeds <= MOST_SEEDS else None


def runs_to_narrow(half: float, other_half: float, runs: int, target: float) -> int | None:
    """How many seeds (or images) make an interval shorter than `target` on each side. None where no number does.

    The interval has two parts whose halves add up in squares: `half`, which shrinks with the square root of the number
    of `runs`, and `other_half`, which stays: that of the images where `runs` are seeds, and the other way round.
    """
    if other_half >= target:
        return None
    return max(runs, ceil(runs * half**2 / (target**2 - other_half**2) - 1e-9))


def _with_known_noise(margin: float, arms: int, confidence: float, overlap: float) -> float:
    """The number of seeds if the noise were known: half an interval and four fifths of the estimates must fit into the
    margin.
    """
    reach = critical_range(arms, inf, confidence) / sqrt(2) + float(norm.ppf((1 + ARMS_POWER) / 2))
    left = (margin / reach) ** 2 - 2 * overlap
    return 2 / left if left > 0 else inf


def _equality_power(margin: float, arms: int, seeds: int, confidence: float, overlap: float) -> float:
    """The probability that the interval of two level arms lies inside the margin."""
    freedom = (arms - 1) * (seeds - 1)
    error = sqrt(2 / seeds + 2 * overlap)
    noise = np.sqrt(chdtri(freedom, (np.arange(_NODES) + 0.5) / _NODES) / freedom)
    room = margin / error - exp(np.polyval(_log_ranges(arms, confidence), 1 / freedom)) / sqrt(2) * noise
    return float(np.maximum(2 * ndtr(room) - 1, 0).mean())


@cache
def _log_ranges(arms: int, confidence: float) -> Array:
    """The logarithm of `critical_range` as a polynomial of 1 / freedom, right to a hundredth.

    One quantile takes scipy a third of a second.
    """
    knots = [max(arms - 1, 2), 2 * max(arms - 1, 2), inf]
    ranges = [log(critical_range(arms, freedom, confidence)) for freedom in knots]
    return np.polyfit([1 / freedom for freedom in knots], ranges, 2)


def _equal_needed(margin: float, freedom: int, arms: int, confidence: float, overlap: float) -> Need:
    """`seeds_for_equality`, with its values at both ends of the 90 % interval of the noise. Seeds grow with the noise
    squared.
    """
    value = seeds_for_equality(margin, arms, confidence, overlap)
    about = value or _with_known_noise(margin, arms, confidence, overlap)
    ends = (about * freedom / float(chdtri(freedom, tail)) for tail in (0.05, 0.95))
    low, high = (None if end > MOST_SEEDS else max(2, ceil(end)) for end in ends)
    return Need(value=value, low=low, high=high)
