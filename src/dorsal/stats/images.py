"""What the choice of test images does to a mean score, and to the difference of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import msgspec
import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from dorsal.stats.interval import Array, Estimate, check_confidence

FEWEST_SEPARATING = 10
"""With fewer images that separate two arms, an interval rests on exact tails instead of a normal one."""

FEWEST_ALIKE = 0.25
"""Where a smaller share of the images have the same value, a mean is of a score in which each differs, such as the mean
IoU, and not of rights and wrongs."""

ImageValues = Mapping[str, Sequence[Array | None]]
"""For each arm and seed the `values` of a `Contribution`, None without a result. All are of the same images."""


class Few(msgspec.Struct, frozen=True, kw_only=True):
    """Of `images`, a few are not alike: a mean is so near 0 that its spread is not known.

    `wins` and `losses` are their sums above and below 0. They need not be whole, for example as means over seeds.
    `losses` is None for a share of images, which cannot be below 0.
    """

    wins: float
    losses: float | None
    images: int

    def ends(self, level: float) -> tuple[float, float]:
        """The interval that misses with a probability of at most `level`, from -1 to 1.

        Of a share, it is that of Clopper and Pearson (1934). A difference is the share of the images that separate two
        arms, times how one-sided they are. Each has its interval by Clopper and Pearson. The interval excludes 0
        exactly when the exact McNemar test rejects.
        """
        if self.losses is None:
            return _share_ends(self.wins, self.images, level)
        separating = self.wins + self.losses
        least, most = _share_ends(separating, self.images, level)
        low, high = (2 * end - 1 for end in _share_ends(self.wins, separating, level))
        return low * (least if low > 0 else most), high * (most if high > 0 else least)


class ImageNoise(msgspec.Struct, frozen=True, kw_only=True):
    """What the choice of test images does to one estimate, in its unit.

    - `spread`: the standard deviation of the estimate over new images, for the trained models as they are.
    - `own`: the part of that variance that comes on top of the noise of seeds, 0 to 1. The other part is what a seed
      does to single images. A mean over seeds has it in its noise of seeds already.
    - `images`: the number of independent images, or groups of images.
    - `few`: None unless so few images are not alike that `spread` is not known.
    """

    value: float
    spread: float
    own: float
    images: int
    few: Few | None = None

    def reach(self, z: float) -> tuple[float, float]:
        """How far the interval over images alone reaches below and above the estimate, at a normal quantile `z`."""
        if self.few is None:
            return z * self.spread, z * self.spread
        low, high = self.few.ends(2 * float(ndtr(-z)))
        return max(self.value - 100 * low, 0.0), max(100 * high - self.value, 0.0)


def stacked(images: ImageValues) -> Array:
    """The values as [arms, seeds, images], NaN where there is no result.

    Raises ValueError for runs with different numbers of images, or no run at all.
    """
    sizes = {values.size for runs in images.values() for values in runs if values is not None}
    if len(sizes) != 1:
        raise ValueError(f"images holds runs on {sorted(sizes)} images: all must be scored on the same ones")
    nothing = np.full(sizes.pop(), np.nan)
    return np.stack([[nothing if values is None else values for values in runs] for runs in images.values()])


def difference_noise(first: Array, second: Array) -> ImageNoise:
    """What images do to the difference of the means of two arms, from their values [seeds, images], NaN if missing."""
    has_first, has_second = ~np.isnan(first[:, 0]), ~np.isnan(second[:, 0])
    shared = has_first & has_second
    differences = first[has_first].mean(axis=0) - second[has_second].mean(axis=0)
    noise = _noise(differences, first[shared] - second[shared])
    separating = int((np.abs(differences) > 1e-9).sum())
    if separating >= FEWEST_SEPARATING or np.abs(differences).max() > 100 + 1e-9:
        return noise
    wins, losses = (float(np.maximum(sign * differences, 0).sum()) / 100 for sign in (1, -1))
    return msgspec.structs.replace(noise, own=1.0, few=Few(wins=wins, losses=losses, images=differences.size))


def mean_noise(values: Array) -> ImageNoise:
    """What images do to the mean of an arm, from its values [seeds, images], NaN if missing."""
    present = values[~np.isnan(values[:, 0])]
    means = present.mean(axis=0)
    noise = _noise(means, present)
    right = float(means.sum()) / 100
    shares = means.min() > -1e-9 and means.max() < 100 + 1e-9 and _alike(means) >= FEWEST_ALIKE
    if not shares or min(right, means.size - right) >= FEWEST_SEPARATING:
        return noise
    return msgspec.structs.replace(noise, own=1.0, few=Few(wins=right, losses=None, images=means.size))


def image_interval(values: Array, confidence: float = 0.95) -> Estimate:
    """The score of one model with its interval over other images like these, from the `values` of its `Contribution`.

    No ends where there is one independent image. Raises ValueError for a confidence not between 0 and 1.
    """
    check_confidence(confidence)
    noise = mean_noise(values[None])
    if values.size < 2:
        return Estimate(value=noise.value, low=None, high=None)
    below, above = noise.reach(float(ndtri((1 + confidence) / 2)))
    return Estimate(value=noise.value, low=max(noise.value - below, 0.0), high=min(noise.value + above, 100.0))


def _alike(means: Array) -> float:
    """The share of images with the most common value."""
    return float(np.unique(means.round(6), return_counts=True)[1].max()) / means.size


def _noise(means: Array, by_seed: Array) -> ImageNoise:
    """From the means over seeds [images], and what they are means of [seeds, images], as far as it is known."""
    images, seeds = means.size, len(by_seed)
    variance = float(means.var(ddof=1)) / images if images > 1 else 0.0
    own = 1.0
    if seeds > 1 and variance > 0:
        of_seeds, of_images = by_seed.mean(axis=1), by_seed.mean(axis=0)
        squares = float(np.vdot(by_seed, by_seed)) + by_seed.size * float(by_seed.mean()) ** 2
        squares -= images * float(of_seeds @ of_seeds) + seeds * float(of_images @ of_images)
        seed_by_image = squares / ((seeds - 1) * (images - 1)) / (seeds * images)
        own = min(1.0, max(0.0, 1 - seed_by_image / variance))
    return ImageNoise(value=float(means.mean()), spread=sqrt(variance), own=own, images=images)


def _share_ends(successes: float, n: float, level: float) -> tuple[float, float]:
    """Both ends of Clopper and Pearson's interval of a share."""
    low = float(betaincinv(successes, n - successes + 1, level / 2)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - level / 2)) if successes < n else 1.0
    return low, high
