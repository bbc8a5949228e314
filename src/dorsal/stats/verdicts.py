"""Three verdicts on two arms: one is better, they are practically equal, or neither is shown."""

from __future__ import annotations

from math import ceil, inf, sqrt
from typing import Literal

import msgspec
import numpy as np
from scipy.special import chdtri, ndtr
from scipy.stats import norm

from dorsal.stats.arms import FEWEST_FREEDOM, Comparisons
from dorsal.stats.interval import Estimate, Need
from dorsal.stats.needs import MOST_SEEDS
from dorsal.stats.tukey import ARMS_POWER, critical_range

MARGIN = 1.0
"""Points of a score that are taken for practically equal, unless the user says otherwise."""

Verdict = Literal["better", "practically equal", "undecided"]

# Quantiles of the noise over which power is averaged.
_NODES = 200


class Judgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The verdict on one pair of arms.

    - `within_margin`: whether the whole interval lies inside the margin. Then "better" means better by less than it.
    - `can_be_equal`: whether the interval is short enough for "practically equal", had the difference been 0.
    - `equal_needed`: the number of seeds that would show two level arms to be practically equal. None for a decided
      pair, below FEWEST_FREEDOM degrees of freedom, and where there are so many seeds.
    """

    better: str
    worse: str
    verdict: Verdict
    within_margin: bool
    can_be_equal: bool
    equal_needed: Need | None


def check_margin(margin: float) -> None:
    """Raise ValueError unless the margin is above 0 and finite."""
    if not 0 < margin < inf:
        raise ValueError(f"margin={margin:g} must be above 0, for example {abs(margin) if 0 < -margin < inf else 1:g}")


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
    needed = None
    if found.pairs and found.noise_sd and found.degrees_of_freedom >= FEWEST_FREEDOM:
        noise = margin / found.noise_sd
        needed = _equal_needed(noise, found.degrees_of_freedom, len(compared_arms(found)), found.pairs[0].confidence)
    judgements = []
    for pair in found.pairs:
        low, high = pair.difference.low, pair.difference.high
        if low is None or high is None:
            low, high = -inf, inf
        verdict = verdict_of(pair.difference, margin)
        judgements.append(
            Judgement(
                better=pair.better,
                worse=pair.worse,
                verdict=verdict,
                within_margin=-margin < low and high < margin,
                can_be_equal=(high - low) / 2 < margin,
                equal_needed=needed if verdict == "undecided" and _is_more(needed, pair.n) else None,
            )
        )
    return tuple(judgements)


def compared_arms(found: Comparisons) -> tuple[str, ...]:
    """The arms with results, as they stand in the pairs: the one with the largest estimate first."""
    pairs = [(pair.better, pair.worse) for pair in found.pairs] + list(found.unpaired)
    # An arm stands behind each arm that is ahead of it.
    behind = {arm: 0 for pair in pairs for arm in pair}
    for _, worse in pairs:
        behind[worse] += 1
    return tuple(sorted(behind, key=lambda arm: behind[arm]))


def seeds_for_equality(margin: float, arms: int, confidence: float = 0.95) -> int | None:
    """The fewest complete seeds that show two level arms of `arms` to be practically equal with 80 % power.

    `margin` is in units of the noise standard deviation. None for more than MOST_SEEDS.
    """
    check_margin(margin)
    seeds = max(2, ceil(_with_known_noise(margin, arms, confidence)))
    while seeds <= MOST_SEEDS and _equality_power(margin, arms, seeds, confidence) < ARMS_POWER:
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


def _with_known_noise(margin: float, arms: int, confidence: float) -> float:
    """The number of seeds if the noise were known: half an interval and four fifths of the estimates must fit into the
    margin.
    """
    reach = critical_range(arms, inf, confidence) / sqrt(2) + float(norm.ppf((1 + ARMS_POWER) / 2))
    return 2 * (reach / margin) ** 2


def _equality_power(margin: float, arms: int, seeds: int, confidence: float) -> float:
    """The probability that the interval of two level arms lies inside the margin."""
    freedom = (arms - 1) * (seeds - 1)
    error = sqrt(2 / seeds)
    noise = np.sqrt(chdtri(freedom, (np.arange(_NODES) + 0.5) / _NODES) / freedom)
    room = margin / error - critical_range(arms, freedom, confidence) / sqrt(2) * noise
    return float(np.maximum(2 * ndtr(room) - 1, 0).mean())


def _is_more(needed: Need | None, seeds: int) -> bool:
    return needed is not None and (needed.value is None or needed.value > seeds)


def _equal_needed(margin: float, freedom: int, arms: int, confidence: float) -> Need:
    """`seeds_for_equality`, with its values at both ends of the 90 % interval of the noise. Seeds grow with the noise
    squared.
    """
    value = seeds_for_equality(margin, arms, confidence)
    about = value or _with_known_noise(margin, arms, confidence)
    ends = (about * freedom / float(chdtri(freedom, tail)) for tail in (0.05, 0.95))
    low, high = (None if end > MOST_SEEDS else max(2, ceil(end)) for end in ends)
    return Need(value=value, low=low, high=high)
