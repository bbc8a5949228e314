"""Error against an axis: what the networks in each part of the axis reach."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from dorsal.stats.bootstrap import DRAWS, mean_estimate, quantile_estimate, start
from dorsal.stats.checks import Index, Numbers, categories, last_of_ties, parallel
from dorsal.stats.interval import Array, Estimate, check_confidence

GROUPS = 8
TENTH = 0.1


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Errors of `n` networks in percent: mean, median, lowest tenth (the 10 % quantile) and minimum."""

    n: int
    mean: Estimate
    median: Estimate
    tenth: Estimate
    minimum: float


class Bin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Networks whose axis value is from `low` to `high`. Both ends occur; `centre` is the median value."""

    low: float
    centre: float
    high: float
    errors: Level


class Category(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Networks that share one value of a categorical axis."""

    value: str
    errors: Level


class NumericProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bins in rising order. The intervals of one statistic hold in all bins at once with probability `confidence`."""

    bins: tuple[Bin, ...]
    missing: int
    confidence: float


class CategoricalProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Categories in the order of their mean errors. Intervals are as in NumericProfile."""

    categories: tuple[Category, ...]
    missing: int
    confidence: float


def numeric_profile(
    axis: Numbers,
    errors: Numbers,
    *,
    groups: int = GROUPS,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> NumericProfile:
    """Errors (percent) along a numeric axis, in at most `groups` bins of about equally many networks.

    The profile has bins and is not smoothed: an interval is for the mean in its bin, while a smoother has a bias that
    no band shows. Networks of equal value stay in one bin, so an axis with few values has one bin for each.

    Means have bootstrap-t intervals, quantiles have intervals between order statistics. Both are at
    confidence^(1/bins), since no network is in two bins (Sidak 1967). A bin with too few networks has no interval.
    Measured coverage: docs/statistics.md. Networks without an error or an axis value are left out and counted.

    Raises ValueError without a complete network, for columns of unequal length, infinite values, fewer than 1 group, a
    confidence not between 0 and 1, or fewer than 100 draws.
    """
    check_confidence(confidence)
    if groups < 1:
        raise ValueError(f"groups={groups}: at least 1 is needed")
    random = start(draws, seed)
    (values, results), missing = parallel({"axis": axis, "errors": errors})
    order = np.argsort(values, kind="stable")
    values, results = values[order], results[order]
    ends = _bin_ends(values, groups)
    each = confidence ** (1 / ends.size)
    return NumericProfile(
        bins=tuple(
            Bin(
                low=float(values[begin]),
                centre=float(np.median(values[begin:end])),
                high=float(values[end - 1]),
                errors=_level(results[begin:end], each, draws, random),
            )
            for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
        ),
        missing=missing,
        confidence=confidence,
    )


def categorical_profile(
    axis: Sequence[str | None],
    errors: Numbers,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> CategoricalProfile:
    """Errors (percent) for each value of a categorical axis, with intervals and errors as in `numeric_profile`."""
    check_confidence(confidence)
    random = start(draws, seed)
    values, index, results, missing = categories(axis, errors)
    each = confidence ** (1 / len(values))
    found = [
        Category(value=value, errors=_level(results[index == place], each, draws, random))
        for place, value in enumerate(values)
    ]
    return CategoricalProfile(
        categories=tuple(sorted(found, key=lambda category: category.errors.mean.value)),
        missing=missing,
        confidence=confidence,
    )


def _bin_ends(ordered: Array, groups: int) -> Index:
    """Ends of at most `groups` slices, as near as possible to an even split. Equal values stay in one slice."""
    ends: Index = last_of_ties(ordered) + 1
    if ends.size <= groups:
        return ends
    wanted = np.arange(1, groups + 1) * ordered.size / groups
    nearest: Index = ends[np.unique(np.abs(ends[:, None] - wanted).argmin(axis=0))]
    return nearest


def _level(errors: Array, confidence: float, draws: int, random: np.random.Generator) -> Level:
    return Level(
        n=errors.size,
        mean=mean_estimate(errors, confidence, draws, random),
        median=quantile_estimate(errors, 0.5, confidence),
        tenth=quantile_estimate(errors, TENTH, confidence),
        minimum=float(errors.min()),
    )
