"""Arms under several conditions, such as recipes or starts: each condition by itself, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np
from msgspec.structs import replace
from scipy.special import ndtri, stdtrit

from dorsal.stats.arms import Comparisons, compare_arms, fit_blocks, reach
from dorsal.stats.images import ImageValues, difference_noise, stacked
from dorsal.stats.interval import Array, Estimate, as_results, check_confidence

Values = Mapping[str, Sequence[float | None]]


def simple_effects(
    conditions: Mapping[str, Values],
    confidence: float = 0.95,
    images: Mapping[str, ImageValues] | None = None,
    overlap: Mapping[str, float] | None = None,
) -> dict[str, Comparisons]:
    """Compare the arms under each condition, corrected for all pairs under all conditions.

    `conditions` has one table for each, and `images` and `overlap` are for some of these too, as in `compare_arms`.
    Within a condition the correction is Tukey's, over the conditions it is Bonferroni's, which holds also if one
    seed makes runs under different conditions alike. So all intervals of all conditions hold at once. A condition with
    fewer than two arms with results is left out, and does not count.

    Raises ValueError as `compare_arms` does.
    """
    check_confidence(confidence)
    compared = {name: values for name, values in conditions.items() if arms_with_results(values) > 1}
    seen, shared = images or {}, overlap or {}
    level = 1 - (1 - confidence) / max(len(compared), 1)
    found = {
        name: compare_arms(values, level, seen.get(name), shared.get(name, 0.0)) for name, values in compared.items()
    }
    return {
        name: replace(
            each,
            pairs=tuple(
                replace(pair, p=None if pair.p is None else min(1.0, pair.p * len(found)), confidence=confidence)
                for pair in each.pairs
            ),
        )
        for name, each in found.items()
    }


def difference_of_differences(
    first: Values,
    second: Values,
    arms: tuple[str, str],
    confidence: float = 0.95,
    images: tuple[ImageValues, ImageValues] | None = None,
    overlap: float = 0.0,
) -> Estimate:
    """By how much more `arms[0]` leads `arms[1]` under the `first` condition than under the `second`.

    Both tables and `overlap` are as in `compare_arms`. The tables may have other arms too, which help to estimate the
    noise. The noise of each condition is its own, with degrees of freedom by Satterthwaite (1946). The interval is of
    this one question.

    With `images`, the values of both tables as in `compare_arms`, the interval is for new seeds and new test images. It
    is over images alone if either condition has no degrees of freedom, or none has noise; then there is no interval
    without images.

    Raises ValueError if an arm has no result under a condition, the two have no common seed there, or for lists of
    unequal length, infinite values, or a confidence not between 0 and 1.
    """
    check_confidence(confidence)
    parts = [_difference(values, arms, name, overlap) for values, name in ((first, "first"), (second, "second"))]
    (one, one_square, one_freedom), (two, two_square, two_freedom) = parts
    square = one_square + two_square
    half = None
    if min(one_freedom, two_freedom) and square > 0:
        freedom = square**2 / (one_square**2 / one_freedom + two_square**2 / two_freedom)
        half = float(stdtrit(freedom, (1 + confidence) / 2)) * sqrt(square)
    noise = None
    if images is not None:
        led, followed = (np.subtract(*stacked({arm: seen[arm] for arm in arms})) for seen in images)
        noise = difference_noise(led, followed)
    below, above = reach(half, noise, float(ndtri((1 + confidence) / 2)))
    if below is None or above is None:
        return Estimate(value=one - two, low=None, high=None)
    return Estimate(value=one - two, low=one - two - below, high=one - two + above)


def _difference(values: Values, arms: tuple[str, str], condition: str, overlap: float) -> tuple[float, float, int]:
    """The difference of two arms, its squared standard error, and the degrees of freedom."""
    table: dict[str, Array] = {arm: as_results(results, f"{condition}[{arm!r}]") for arm, results in values.items()}
    table = {arm: results for arm, results in table.items() if not np.isnan(results).all()}
    for arm in arms:
        if arm not in table:
            raise ValueError(f"{condition} has no result of {arm!r}; its arms with results: {', '.join(table)}")
    if np.isnan(table[arms[0]] - table[arms[1]]).all():
        raise ValueError(f"{condition}: {arms[0]!r} and {arms[1]!r} have no seed in common")
    fit = fit_blocks(np.stack(list(table.values())), overlap)
    i, j = (list(table).index(arm) for arm in arms)
    square = fit.noise_variance * fit.scale[i, j] if fit.degrees_of_freedom else 0.0
    return float(fit.effects[i] - fit.effects[j]), float(square), fit.degrees_of_freedom


def arms_with_results(values: Values) -> int:
    """The number of arms with at least one result."""
    return sum(not np.isnan(as_results(results, f"values[{arm!r}]")).all() for arm, results in values.items())
