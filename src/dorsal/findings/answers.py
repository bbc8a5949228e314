"""What one set of results shows: means, pairs with their verdicts, the tie group and the ranks; and over data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from dorsal.findings.verdicts import Verdicts, verdicts_on
from dorsal.stats import Comparisons, Estimate, Pair, pooled_means
from dorsal.stats.data_sets import Record, arm_mean, compare_over_data_sets
from dorsal.stats.interval import Array

Scores = Mapping[str, Sequence[float | None]]
Images = Mapping[str, Sequence[Array | None]]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one set of results shows, on one data set or over all of them.

    - `means`: of each arm, as it was given, with its interval. The best comes first.
    - `pairs`: all pairs of arms, and `verdicts` on them.
    - `repeats`: the number of seeds, or of data sets. `images`: the number of images that the intervals cover, or of
      groups of these that are independent of each other. `overlap`: as in `compare_arms`; above 0 each seed has images
      of its own, so that the intervals cover new training and test images too.
    """

    means: dict[str, Estimate]
    pairs: tuple[Pair, ...]
    verdicts: Verdicts
    unpaired: tuple[tuple[str, str], ...]
    missing: int
    results: int
    repeats: int
    images: int | None
    overlap: float = 0.0


class DataSetAnswers(NamedTuple):
    """The answer over data sets, the one on each, corrected for all of them, and wins and losses."""

    overall: Answer
    data_sets: dict[str, Answer]
    records: tuple[Record, ...]


def answer_of(
    table: Scores, found: Comparisons, margin: float, confidence: float, images: Images | None, overlap: float = 0.0
) -> Answer:
    """The answer that the comparison `found` of a table is. Higher is better; `overlap` as in `compare_arms`."""
    verdicts, means = verdicts_on(found, table, margin, confidence), pooled_means(table, confidence, images, overlap)
    return Answer(
        means={arm: means[arm] for arm in verdicts.ranks},
        pairs=found.pairs,
        verdicts=verdicts,
        unpaired=found.unpaired,
        missing=found.missing,
        results=found.results,
        repeats=max(map(len, table.values())),
        images=next((run.size for runs in (images or {}).values() for run in runs if run is not None), None),
        overlap=overlap,
    )


def answers_over_data_sets(
    tables: Mapping[str, Scores],
    images: Mapping[str, Images],
    margin: float,
    confidence: float,
    overlap: Mapping[str, float] | None = None,
) -> DataSetAnswers:
    """The answers on two or more data sets: `tables` of scores, `images` and `overlap` by data set as far as known."""
    over = compare_over_data_sets(tables, confidence, images, overlap)
    arms = dict.fromkeys(arm for table in tables.values() for arm in table)
    means = {arm: [arm_mean(table, arm) for table in tables.values()] for arm in arms}
    shared = overlap or {}
    return DataSetAnswers(
        answer_of(means, over.overall, margin, confidence, None),
        {
            data: answer_of(tables[data], found, margin, confidence, images.get(data), shared.get(data, 0.0))
            for data, found in over.each.items()
        },
        over.records,
    )
