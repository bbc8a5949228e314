"""How many seeds, or how many test images, would show a difference of two arms."""

from __future__ import annotations

from math import ceil, hypot, inf, sqrt

import msgspec
from scipy.special import chdtri
from scipy.stats import nct

from dorsal.stats.images import ImageNoise
from dorsal.stats.interval import Need
from dorsal.stats.tukey import ARMS_POWER, POWER_QUANTILE, adjusted_p, critical_t

MOST_SEEDS = 10_000
MOST_IMAGES = 1_000_000


class SeedNoise(msgspec.Struct, frozen=True, kw_only=True):
    """The noise of seeds in a comparison.

    `variance` is that of one result, on `freedom` degrees of freedom. `scale` times it is that of a difference of
    means. `overlap` is as in `stats.compare_arms`.
    """

    variance: float
    freedom: int
    scale: float
    overlap: float = 0.0

    def ends(self) -> tuple[float, float]:
        """The ends of the 90 % interval of the variance, divided by the variance."""
        low, high = (self.freedom / float(chdtri(self.freedom, tail)) for tail in (0.05, 0.95))
        return low, high


def seeds_needed(
    effect: float, arms: int, confidence: float = 0.95, images: float = 0.0, overlap: float = 0.0
) -> int | None:
    """The fewest complete seeds with which the test shows a true `effect` with 80 % power.

    `effect` is the difference of two arms in units of the noise standard deviation, `images` what the choice of images
    adds to the variance of the difference, in units of the noise variance. `overlap` is as in `stats.compare_arms`.
    None for more than MOST_SEEDS. A difference shown with the wrong sign does not count.
    """
    # Above 100 two seeds are enough at any usual confidence, and the noncentral t is no longer accurate.
    effect, images = min(abs(effect), 100.0), images * min(1.0, 100 / abs(effect or 1)) ** 2
    start = _with_known_noise(effect, arms, confidence, images, overlap)
    if start > MOST_SEEDS:
        return None
    first = max(2, ceil(start))
    counts = range(first, MOST_SEEDS + 1)
    return next((n for n in counts if _shown(effect, arms, n, confidence, images, overlap)), None)


def need_of_seeds(difference: float, noise: SeedNoise, arms: int, confidence: float, images: float = 0.0) -> Need:
    """`seeds_needed`, with its values at both ends of the interval of the noise. Seeds grow with the noise squared.

    `images` is what the choice of images adds to the variance of the difference.
    """
    effect, ratio = min(difference / sqrt(noise.variance), 100.0), images / noise.variance
    value = seeds_needed(effect, arms, confidence, ratio, noise.overlap)
    about = value or _with_known_noise(effect, arms, confidence, ratio, noise.overlap)
    low, high = (about * end for end in noise.ends())
    return Need(value=value, low=_seeds(low), high=_seeds(high))


def need_of_images(
    difference: float, images: ImageNoise, seeds: SeedNoise | None, arms: int, confidence: float
) -> Need:
    """The fewest test images that show a true `difference` with 80 % power if the seeds stay as many, as a `Need`.

    More images lessen the noise of seeds too, by the part of it that is of single images.
    """
    ends = (1.0, *seeds.ends()) if seeds else (1.0, 1.0, 1.0)
    value, low, high = (_images(difference, images, seeds, end, arms, confidence) for end in ends)
    return Need(value=value, low=low, high=high)


def _images(
    difference: float, images: ImageNoise, seeds: SeedNoise | None, times: float, arms: int, confidence: float
) -> int | None:
    """The number with `times` the noise of seeds."""
    z = critical_t(arms, inf, confidence)
    t = critical_t(arms, seeds.freedom, confidence) if seeds else z
    over_seeds = times * seeds.variance * seeds.scale if seeds else 0.0
    spread = images.reach(z)[0] / z
    own = images.own * spread**2
    shared = min(spread**2 - own, over_seeds)

    def is_shown(number: int) -> bool:
        fewer = images.images / number
        by_seeds, by_images = over_seeds - shared * (1 - fewer), own * fewer
        reach = hypot(t * sqrt(by_seeds), z * sqrt(by_images))
        return difference >= reach + POWER_QUANTILE * sqrt(by_seeds + by_images)

    if not is_shown(MOST_IMAGES):
        return None
    low, high = 1, MOST_IMAGES
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_shown(middle) else (middle + 1, high)
    return high


def _with_known_noise(effect: float, arms: int, confidence: float, images: float, overlap: float) -> float:
    """The number of seeds if the variance of the noise were known: slightly fewer than the test needs."""
    quantiles = (critical_t(arms, inf, confidence) + POWER_QUANTILE) ** 2
    left = effect**2 - quantiles * (images + 2 * overlap)
    return 2 * quantiles / left if left > 0 else inf


def _seeds(number: float) -> int | None:
    return None if number > MOST_SEEDS else max(2, ceil(number))


def _shown(effect: float, arms: int, seeds: int, confidence: float, images: float, overlap: float) -> bool:
    """Whether the test is significant at the difference that is exceeded with probability ARMS_POWER.

    All is in standard errors of the difference over seeds.
    """
    degrees_of_freedom = (arms - 1) * (seeds - 1)
    error = sqrt(2 / seeds + 2 * overlap)
    expected, spread = effect / error, sqrt(images) / error
    t = float(nct.ppf(1 - ARMS_POWER, degrees_of_freedom, expected))
    found = expected - hypot(expected - t, POWER_QUANTILE * spread) if spread else t
    by_images = critical_t(arms, inf, confidence) * spread
    if found <= by_images:
        return False
    return adjusted_p(sqrt(found**2 - by_images**2), arms, degrees_of_freedom) <= 1 - confidence
