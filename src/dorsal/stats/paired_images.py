"""Arms scored on the same images: intervals that cover the choice of the images too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, inf, sqrt

import numpy as np
from msgspec.structs import replace

from dorsal.stats.arms import Comparisons, Pair, compare_arms
from dorsal.stats.interval import Array, Estimate
from dorsal.stats.tukey import critical_range


def compare_on_images(
    values: Mapping[str, Sequence[float | None]], confidence: float, images: Mapping[str, Sequence[Array | None]]
) -> Comparisons:
    """Compare every pair of arms as `compare_arms` does, with intervals over seeds and test images.

    `images` has for each arm and seed what each image contributes to the score, 0 to 100, or None without a result. The
    half of the interval over seeds and that over images are added in squares. With one seed the interval is over images
    alone, and so of these trained models. The deviation of the differences counts one more image won and one more lost
    (Bonett and Price 2012), so that models that rarely differ have an interval too. `needed` is None.
    """
    found = compare_arms(values, confidence)
    means = {
        arm: np.mean([run for run in runs if run is not None], axis=0)
        for arm, runs in images.items()
        if any(run is not None for run in runs)
    }
    return replace(found, pairs=tuple(_with_images(pair, means, found, confidence) for pair in found.pairs))


def _with_images(pair: Pair, means: Mapping[str, Array], found: Comparisons, confidence: float) -> Pair:
    gaps = means[pair.better] - means[pair.worse]
    error = float(np.append(gaps, [100.0, -100.0]).std(ddof=1)) / sqrt(gaps.size + 2)
    low, value = pair.difference.low, pair.difference.value
    if low is None and pair.n > 1:
        return pair
    arms, freedom = len(means), found.degrees_of_freedom
    seed_error = 0.0 if low is None else (value - low) / critical_range(arms, freedom, confidence)

    def half(level: float) -> float:
        by_seeds = critical_range(arms, freedom, level) * seed_error if seed_error else 0.0
        return hypot(by_seeds, critical_range(arms, inf, level) / sqrt(2) * error)

    reach = half(confidence)
    # The level at which the interval would end at 0, between levels that all pairs share.
    levels = np.sort([1e-6, *np.geomspace(5e-4, 0.9, 18), 1 - confidence])[::-1]
    halves = [half(1 - float(level)) for level in levels]
    p = float(np.exp(np.interp(value, [0.0, *halves], np.log([1.0, *levels]))))
    return replace(
        pair,
        difference=Estimate(value=value, low=value - reach, high=value + reach),
        p=p,
        significant=value > reach,
        needed=None,
    )
