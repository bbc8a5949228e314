"""Arms on several data sets: what holds over data sets like these, and on how many of them an arm wins."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from dorsal.stats.arms import Comparisons, compare_arms
from dorsal.stats.conditions import Values, simple_effects
from dorsal.stats.images import ImageValues
from dorsal.stats.interval import as_results, check_confidence


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """On how many data sets `first` is shown to be better (wins), `second` is (losses), or neither (ties).

    The shown differences hold for all pairs on all data sets at once. `ahead`: on how many the mean of `first` is the
    larger one, shown or not.
    """

    first: str
    second: str
    wins: int
    ties: int
    losses: int
    ahead: int


class DataSetComparisons(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The arms over all data sets, and on each.

    - `overall`: pairs of arms, differences of means over data sets. Its seeds (`n`, `needed`) are data sets.
    - `each`: the arms on each data set, corrected for all of them.
    - `records`: one for each pair of `overall`, with its better arm first.
    """

    overall: Comparisons
    each: dict[str, Comparisons]
    records: tuple[Record, ...]


def compare_over_data_sets(
    data_sets: Mapping[str, Values],
    confidence: float = 0.95,
    images: Mapping[str, ImageValues] | None = None,
    overlap: Mapping[str, float] | None = None,
) -> DataSetComparisons:
    """Compare every pair of arms over data sets. Larger values are better.

    `data_sets` has one table for each data set, as in `compare_arms`; `images` and `overlap`, where known, are for the
    answer on each. The question is about data sets like these, so
    the data set is the block and takes the place of the seed: each arm has one value a data set, its mean over seeds,
    and the noise is how differently data sets order the arms, with what the seeds add to it. Seeds without number on
    one data set therefore show nothing about others. An arm that was not run on a data set is handled as a missing
    result. All data sets have the same weight.

    Raises ValueError as `compare_arms` does, and for fewer than two data sets.
    """
    check_confidence(confidence)
    if len(data_sets) < 2:
        raise ValueError(f"data_sets has {len(data_sets)}: an answer over data sets needs at least 2")
    arms = dict.fromkeys(arm for values in data_sets.values() for arm in values)
    means = {name: {arm: arm_mean(values, arm) for arm in arms} for name, values in data_sets.items()}
    overall = compare_arms({arm: [means[name][arm] for name in means] for arm in arms}, confidence)
    each = simple_effects(data_sets, confidence, images, overlap)
    shown = [(pair.better, pair.worse) for found in each.values() for pair in found.pairs if pair.significant]
    records = []
    for pair in overall.pairs:
        a, b = pair.better, pair.worse
        wins, losses = shown.count((a, b)), shown.count((b, a))
        both = [
            (ours, theirs) for row in means.values() if (ours := row[a]) is not None and (theirs := row[b]) is not None
        ]
        ahead = sum(ours > theirs for ours, theirs in both)
        records.append(Record(first=a, second=b, wins=wins, ties=len(both) - wins - losses, losses=losses, ahead=ahead))
    return DataSetComparisons(overall=overall, each=each, records=tuple(records))


def arm_mean(values: Values, arm: str) -> float | None:
    """The mean of an arm's results in a table as in `compare_arms`. None without any."""
    results = as_results(values.get(arm, ()), f"values[{arm!r}]")
    return float(np.nanmean(results)) if results.size and not np.isnan(results).all() else None
